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

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.compare.columns import ESSENTIAL, LEGEND, rare_columns
from tasks.compare.files import write_comparison
from tasks.compare.markdown import describe_test_rows
from tasks.compare.table import Group, Hits, compare, read_hits, refuse_unlike
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
        hits = _fetch_hits(runs)
    groups = compare(runs, hits)
    folder = output or _default_folder(runs)
    write_comparison(groups, folder)
    for sentence in left_out:
        say(sentence)
    for group in groups:
        _show(group)
    say(LEGEND)
    say(f"All columns: {folder / 'comparison.html'}, and comparison.md, comparison.csv beside it")
    rows = [asdict(row) for group in groups for row in group.rows]
    return {"status": "done", "rows": rows, "left_out": left_out, "folder": str(folder.absolute())}


def _fetch_hits(runs: Sequence[LoggedRun]) -> Hits:
    """What can be fetched; a predictions table that is gone costs its run the paired test, and nothing else."""
    hits = {}
    for run in runs:
        with TemporaryDirectory(dir=Settings().cache) as folder:
            try:
                hits[run.run_id] = read_hits(tracking.download_predictions(run.run_id, Path(folder)))
            except DarkroomError as error:
                say(f"warning: {run.name} is shown without the paired test: {error}")
    return hits


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
