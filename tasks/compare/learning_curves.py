"""The models' learning curves over each other, as plain geometry that the template draws in the page's colours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.compare.axes import Axis, make_axis
from tasks.compare.labels import LINE, spread
from tasks.compare.rows import Row
from tasks.compare.table import Group

MOST_LINES = 12
WIDTH, HEIGHT = 350.0, 200.0
"""Of the plot, in units of the drawing, about a pixel each."""
_TITLES = {"val_accuracy": "Validation accuracy by epoch", "val_loss": "Validation loss by epoch"}
_FAR = 10.0  # from this ratio of the highest loss to the lowest on, a linear axis would flatten all but one curve

Curve = Mapping[int, float]


@dataclass(frozen=True)
class Line:
    """One model's curve.

    Attributes:
        pieces: stretches without a gap, each the `points` of an SVG polyline.
        end: the last point.
        label: height of the rank beside it.
    """

    row: Row
    pieces: tuple[str, ...]
    end: tuple[float, float]
    label: float


@dataclass(frozen=True)
class Panel:
    """One quantity of all models."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]


def draw_learning_curves(group: Group) -> tuple[Panel, ...]:
    """A panel for each quantity that some model has; of the best `MOST_LINES` models that have curves."""
    with_curves = [row for row in group.rows if row.run_id in group.histories][:MOST_LINES]
    panels = []
    for name, title in _TITLES.items():
        curves = [(row, _finite(group.histories[row.run_id].get(name, {}))) for row in with_curves]
        if known := [(row, curve) for row, curve in curves if curve]:
            panels.append(_draw_panel(title, known, may_be_logarithmic=name == "val_loss"))
    return tuple(panels)


def _finite(curve: Curve) -> Curve:
    """Without the epochs in which training had diverged."""
    return {epoch: value for epoch, value in curve.items() if math.isfinite(value)}


def _draw_panel(title: str, curves: Sequence[tuple[Row, Curve]], may_be_logarithmic: bool) -> Panel:
    values = [value for _, curve in curves for value in curve.values()]
    logarithmic = may_be_logarithmic and min(values) > 0 and max(values) / min(values) > _FAR
    x = make_axis((epoch for _, curve in curves for epoch in curve), WIDTH)
    y = make_axis(values, HEIGHT, logarithmic, upward=True)
    ends = [(x.place(epoch := max(curve)), y.place(curve[epoch])) for _, curve in curves]
    labels = spread([end[1] for end in ends], LINE, HEIGHT)
    lines = (
        Line(row, _pieces(curve, x, y), end, label)
        for (row, curve), end, label in zip(curves, ends, labels, strict=True)
    )
    return Panel(title + (" (logarithmic)" if logarithmic else ""), x, y, tuple(lines))


def _pieces(curve: Curve, x: Axis, y: Axis) -> tuple[str, ...]:
    pieces: list[list[str]] = []
    last = None
    for epoch in sorted(curve):
        if last is None or epoch != last + 1:
            pieces.append([])
        pieces[-1].append(f"{x.place(epoch):g},{y.place(curve[epoch]):g}")
        last = epoch
    return tuple(" ".join(piece) for piece in pieces)
