"""The comparison as one HTML page that needs nothing beside itself: no network, no script, no other file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from tasks import picture_style
from tasks.compare import columns
from tasks.compare.markdown import describe_test_rows
from tasks.compare.rows import Row
from tasks.compare.table import Group

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)  # a scale of accuracies begins and ends at a multiple of one of them
_MOST_STEPS = 5


@dataclass(frozen=True)
class Scale:
    """The part of the accuracies, 0..1, that all bars of a table are drawn on; `ticks` from its low end to its high."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, accuracy: float) -> float:
        """Where an accuracy stands on the scale, 0..100."""
        return round(100 * (accuracy - self.low) / (self.high - self.low), 3)


def render_page(groups: Sequence[Group]) -> str:
    """The page; whatever comes from the runs is escaped by the template."""
    return (
        _templates()
        .get_template("comparison.html.jinja")
        .render(
            style={"ink": picture_style.INK, "first": picture_style.FIRST},
            experiments=sorted({row.experiment for group in groups for row in group.rows}),
            groups=[(group, describe_test_rows(group), make_scale(group.rows)) for group in groups],
            columns=columns,
        )
    )


def make_scale(rows: Sequence[Row]) -> Scale:
    """A scale with round ends that holds the accuracies of all rows, with their intervals.

    Args:
        rows: at least one.
    """
    ends = [end for row in rows for end in (row.test_accuracy, row.test_accuracy_low, row.test_accuracy_high)]
    low, high = (choose((end for end in ends if end is not None), default=0.0) for choose in (min, max))
    for step in _STEPS:
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= _MOST_STEPS:
            break
    last = max(last, first + 1)
    return Scale(first * step, last * step, tuple(round(tick * step, 2) for tick in range(first, last + 1)))


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
