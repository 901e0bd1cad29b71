"""The comparison as one HTML page that needs nothing beside itself: no network, no script, no other file."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2

from tasks.compare import columns, pair_table
from tasks.compare.class_recalls import class_recalls
from tasks.compare.labels import shorten
from tasks.compare.learning_curves import MOST_LINES, draw_learning_curves
from tasks.compare.lone_hits import find_lone_hits
from tasks.compare.markdown import describe_test_rows
from tasks.compare.rows import Row
from tasks.compare.table import Group
from tasks.compare.thumbnails import NOT_AT_HAND, Thumbnails
from tasks.compare.trade_offs import draw_trade_offs
from tasks.pages import STYLE, open_templates
from tasks.scale import Scale

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)  # a scale of accuracies begins and ends at a multiple of one of them
_MOST_STEPS = 5


def render_page(groups: Sequence[Group], thumbnails: Mapping[str, Thumbnails]) -> str:
    """The page; whatever comes from the runs is escaped by the template.

    Args:
        thumbnails: test digest -> pictures of that group's images, where they are at hand.
    """
    return (
        _templates()
        .get_template("comparison.html.jinja")
        .render(
            style=STYLE,
            experiments=sorted({row.experiment for group in groups for row in group.rows}),
            groups=[_show(group, thumbnails.get(group.test_digest, NOT_AT_HAND)) for group in groups],
            columns=columns,
        )
    )


def _show(group: Group, thumbnails: Thumbnails) -> dict[str, object]:
    """What the template tells of one group, section by section."""
    return {
        "rows": group.rows,
        "test_rows": describe_test_rows(group),
        "scale": make_scale(group.rows),
        "pairs": {
            "summary": pair_table.summarize(group),
            "method": pair_table.METHOD,
            "headings": pair_table.DIFFERENCES,
            "listed": pair_table.list_pairs(group),
            "triangle": pair_table.make_triangle(group),
            "all": len(group.pairs),
        },
        "curves": {
            "panels": draw_learning_curves(group),
            "with": [row for row in group.rows if row.run_id in group.histories],
            "without": [row for row in group.rows if row.run_id not in group.histories],
            "most": MOST_LINES,
        },
        "trade_offs": draw_trade_offs(group.rows),
        "recalls": class_recalls(group),
        "without_classes": [row for row in group.rows if not _has_classes(group, row)],
        "lone": find_lone_hits(group),
        "thumbnails": thumbnails,
    }


def _has_classes(group: Group, row: Row) -> bool:
    return row.run_id in group.answers and bool(group.answers[row.run_id].class_names)


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
    templates = open_templates(Path(__file__).parent / "templates")
    templates.filters["shorten"] = shorten
    return templates
