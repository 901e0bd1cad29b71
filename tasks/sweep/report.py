"""The report of one sweep as files: HTML for people, Markdown for reviews, CSV for programs, PNGs."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_config.sweep import Sweep
from tasks.files import write_whole
from tasks.records import Trial
from tasks.sweep.figures import make_figures
from tasks.sweep.markdown import as_markdown
from tasks.sweep.marks import find_marks
from tasks.sweep.page import render_page
from tasks.sweep.pictures import draw_pictures
from tasks.sweep.plots import find_plots
from tasks.sweep.shown_study import copy_for_show
from tasks.sweep.table import Row, make_rows
from tasks.sweep.ties import find_tied

if TYPE_CHECKING:
    from optuna.study import Study

_FIELDS = ("number", "state", "run_id", "value", "low", "high", "epochs", "reason")


def write_report(
    study: "Study", trials: Sequence[Trial], sweep: Sweep, folder: Path, images: int | None = None
) -> None:
    """Write `report.html`, `report.md`, `trials.csv` and a PNG a plot, each whole or not at all.

    The CSV has a line a trial, best first, with unrounded figures: the fields of `Trial`, settings under their dotted
    keys (lists as JSON), metrics under their names; what is not known is empty.

    Args:
        study: with the trials' values by epoch; numbers are those of `trials`.
        trials: that have ended, in any order; there may be none, or none complete.
        sweep: as the experiment has it.
        folder: to write to; made where it is missing.
        images: validation images that the values were measured on, to be told with them.
    """
    shown, metric = copy_for_show(study), sweep.metric
    marks = find_marks(trials, metric)
    plots = find_plots(shown, metric, len(find_tied(trials, metric)))
    page = render_page(trials, sweep, plots, make_figures(shown, marks, metric, plots), images)
    _write(folder / "report.html", page)
    _write(folder / "report.md", as_markdown(trials, sweep, images))
    _write(folder / "trials.csv", _as_csv(make_rows(trials, metric)))
    draw_pictures(shown, marks, metric, plots, folder, f"Sweep of {sweep.model}")


def report_work(_: object, *about: Any) -> None:
    """`write_report` as the work of a process of its own, which tells nothing meanwhile."""
    write_report(*about)


def _as_csv(rows: Sequence[Row]) -> str:
    records = [_as_record(row) for row in rows]
    names = dict.fromkeys(name for record in records for name in record) or [*_FIELDS]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _as_record(row: Row) -> dict[str, Any]:
    params = {
        key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in row.trial.params.items()
    }
    fields = {name: getattr(row.trial, name) for name in _FIELDS}
    return {**fields, "tied": row.tied, "recommended": row.recommended, **params, **row.trial.metrics}


def _write(path: Path, text: str) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
