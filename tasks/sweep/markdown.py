"""The report as Markdown: verdict and table."""

import re
from collections.abc import Sequence

from pipeline_config.sweep import Sweep
from tasks.records import Trial
from tasks.sweep.table import LEGEND, list_columns, make_rows
from tasks.sweep.verdict import tell_search, tell_states, tell_verdict


def as_markdown(trials: Sequence[Trial], sweep: Sweep, images: int | None = None) -> str:
    """Title, verdict and table; the table is left out where there is no trial.

    Args:
        images: validation images that the values were measured on, to be told with them.
    """
    paragraphs = [f"# Sweep of {_escape(sweep.model)}", f"{tell_states(trials)}. {tell_search(sweep)}."]
    paragraphs += [_escape(sentence) for sentence in tell_verdict(trials, sweep, images)]
    if trials:
        paragraphs += [_make_table(trials, sweep.metric), LEGEND]
    return "\n\n".join(paragraphs) + "\n"


def _make_table(trials: Sequence[Trial], metric: str) -> str:
    columns = list_columns(trials, metric)
    lines = [
        [_escape(column.heading) for column in columns],
        ["---:" if column.is_number else "---" for column in columns],
        *([_escape(column.cell(row)) for column in columns] for row in make_rows(trials, metric)),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escape(text: str) -> str:
    """As plain text: a value of a setting can hold anything, HTML too."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`*\[\]~])", r"\\\1", plain)
