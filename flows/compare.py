"""Models of one or several runs side by side, on the terminal and as files; nothing is trained or logged."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from flows.start import load_tensorflow
from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.compare.answers import Answers, read_answers
from tasks.compare.columns import ESSENTIAL, LEGEND, rare_columns
from tasks.compare.files import write_comparison
from tasks.compare.lone_hits import find_lone_hits, ids_of
from tasks.compare.markdown import describe_test_rows
from tasks.compare.pair_table import pair_records, summarize
from tasks.compare.table import Group, compare, refuse_unlike
from tasks.compare.thumbnails import Thumbnails, take_thumbnails
from tasks.images import ImageReader
from tasks.ingest.listing import list_dataset
from tasks.progress import console, say
from tasks.tracking import LoggedRun

_WIDTH = 100


def compare_runs(targets: Sequence[str], output: Path | None, force: bool) -> dict[str, Any]:
    """Find the runs, rank them, write the files, show the table.

    Args:
        targets: names of experiments, ids of pipeline or train runs.
        output: folder for the files; None for one in the home that is named after the runs.
        force: show runs of other test rows in tables of their own, instead of refusing them.

    Raises:
        ConfigurationError: a target names nothing that was evaluated; the test rows differ; `output` is a file.
    """
    if output and output.exists() and not output.is_dir():
        raise ConfigurationError(f"--output: expected a folder, or a name for a new one; received the file {output}")
    with console.status("reading runs"):
        runs, left_out = tracking.find_runs(targets)
        if not force:
            refuse_unlike(runs)
        groups = compare(runs, _fetch_answers(runs))
    with console.status("finding images"):
        thumbnails = {group.test_digest: _find_thumbnails(group) for group in groups}
    folder = output or _default_folder(runs)
    write_comparison(groups, folder, thumbnails)
    for sentence in left_out:
        say(sentence)
    for group in groups:
        _show(group)
    say(LEGEND)
    say(f"All of it: {folder / 'comparison.html'}, and comparison.md, comparison.csv, pairs.csv beside it")
    rows = [asdict(row) for group in groups for row in group.rows]
    pairs = [record for group in groups for record in pair_records(group)]
    return {"status": "done", "rows": rows, "pairs": pairs, "left_out": left_out, "folder": str(folder.absolute())}


def _fetch_answers(runs: Sequence[LoggedRun]) -> dict[str, Answers]:
    """What can be fetched; a predictions table that is gone costs its run what is made of it, and nothing else."""
    answers = {}
    for run in runs:
        with TemporaryDirectory(dir=Settings().cache) as folder:
            try:
                answers[run.run_id] = read_answers(tracking.download_predictions(run.run_id, Path(folder)))
            except DarkroomError as error:
                say(f"warning: {run.name} is shown without the paired test: {error}")
    return answers


def _find_thumbnails(group: Group) -> Thumbnails:
    """Pictures of the images that only one model gets right; where the data are gone, the page says so."""
    wanted = ids_of(find_lone_hits(group))
    if not wanted:
        return Thumbnails()
    try:
        return take_thumbnails(*_find_images(group.rows[0].run_id), wanted)
    except (DarkroomError, OSError) as error:
        return Thumbnails(missing=f"The images are not at hand: {error}.")


def _find_images(run_id: str) -> tuple[Path, ImageReader]:
    """The manifest that the run's pipeline logged, and where its images are now; nothing is downloaded.

    No task of Prefect's, unlike `flows/earlier.py`: a table is no reason to start a server.
    """
    pipeline_run_id, experiment = tracking.find_configuration(run_id)
    settings, dataset = Settings(), experiment.dataset
    folder = settings.cache / "earlier_runs" / pipeline_run_id
    folder.mkdir(parents=True, exist_ok=True)
    manifest, _ = tracking.fetch_manifest(pipeline_run_id, folder)
    if dataset.source == "tfds":
        load_tensorflow()  # which would otherwise be loaded by the source, with its many lines
        dataset = dataset.model_copy(update={"download": False})
    found = list_dataset(dataset, settings.data, settings.cache)
    return manifest, ImageReader(found.root, found.store)


def _default_folder(runs: Sequence[LoggedRun]) -> Path:
    """One folder for one set of runs, however often they are compared."""
    digest = hashlib.sha256(" ".join(sorted(run.run_id for run in runs)).encode()).hexdigest()
    experiments = sorted({run.experiment for run in runs})
    return Settings().home / "comparisons" / f"{'-'.join(experiments)[:60]}-{digest[:8]}"


def _show(group: Group) -> None:
    title = Text(describe_test_rows(group))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown = (*ESSENTIAL, *rare_columns(group.rows))
    for column in shown:
        is_name = column.heading == "model"
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(column.heading, justify=justify, no_wrap=not is_name, overflow="fold")
    for row in group.rows:
        table.add_row(*(Text(column.cell(row)) for column in shown))  # as text: a name may hold rich's markup
    console.print(table, width=min(_WIDTH, console.width))
    if told := summarize(group):
        say(told[0].upper() + told[1:])
