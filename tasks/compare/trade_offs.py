"""Accuracy against what it costs, as plain geometry that the template draws in the page's colours."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.compare.axes import Axis, make_axis
from tasks.compare.labels import Box, Label, place_labels
from tasks.compare.rows import Row

WIDTH, HEIGHT = 372.0, 230.0
"""Of the plot, in units of the drawing, about a pixel each."""
_DOT = 4.0  # radius
_MOST_NAMES = 12  # of more models the ranks alone are told
_COSTS = {"fit_seconds": "seconds of fitting", "parameters": "parameters"}


@dataclass(frozen=True)
class Point:
    """One model.

    Attributes:
        low, high: where the ends of its interval stand; None where it has none.
        label: None where there is no place for one.
    """

    row: Row
    x: float
    y: float
    low: float | None
    high: float | None
    label: Label | None


@dataclass(frozen=True)
class TradeOff:
    """Test accuracy against one cost; `without` are the models of which one of the two is not known."""

    cost: str
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    without: tuple[Row, ...]


def draw_trade_offs(rows: Sequence[Row]) -> tuple[TradeOff, ...]:
    """A chart for each cost that is known of some model with an accuracy."""
    charts = (_draw(rows, name, label) for name, label in _COSTS.items())
    return tuple(chart for chart in charts if chart.points)


def _draw(rows: Sequence[Row], cost: str, label: str) -> TradeOff:
    known = [(row, getattr(row, cost), row.test_accuracy) for row in rows]
    shown = [(row, spent, accuracy) for row, spent, accuracy in known if accuracy is not None and (spent or 0) > 0]
    without = tuple(row for row in rows if row not in [row for row, _, _ in shown])
    if not shown:
        return TradeOff(label, Axis(0, 1, WIDTH), Axis(0, 1, HEIGHT), (), without)
    ends = [end for row, _, _ in shown for end in (row.test_accuracy_low, row.test_accuracy_high) if end is not None]
    x = make_axis((spent for _, spent, _ in shown), WIDTH, logarithmic=True)
    y = make_axis([*ends, *(accuracy for _, _, accuracy in shown)], HEIGHT, upward=True)
    places = [(x.place(spent), y.place(accuracy)) for _, spent, accuracy in shown]
    names = [f"{row.rank} {' '.join(row.model.split())}" for row, _, _ in shown]
    if len(names) > _MOST_NAMES:
        names = [str(row.rank) for row, _, _ in shown]
    intervals = [(_place(y, row.test_accuracy_low), _place(y, row.test_accuracy_high)) for row, _, _ in shown]
    marks = [_mark(*place, *interval) for place, interval in zip(places, intervals, strict=True)]
    labels = place_labels(places, names, marks, Box(0, 0, WIDTH, HEIGHT))
    points = (
        Point(row, *place, *interval, text)
        for (row, _, _), place, interval, text in zip(shown, places, intervals, labels, strict=True)
    )
    return TradeOff(label, x, y, tuple(points), without)


def _mark(x: float, y: float, low: float | None, high: float | None) -> Box:
    """What a point and its interval cover."""
    top, bottom = (y if end is None else end for end in (high, low))
    top, bottom = min(top, y - _DOT), max(bottom, y + _DOT)
    return Box(x - _DOT, top, 2 * _DOT, bottom - top)


def _place(axis: Axis, value: float | None) -> float | None:
    return None if value is None else axis.place(value)
