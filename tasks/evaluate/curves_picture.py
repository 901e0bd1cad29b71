"""ROC and precision-recall curves side by side, from 2 classes to several hundred."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tasks import picture_style
from tasks.evaluate.one_against_rest import ClassCurve, Floats, class_curves
from tasks.evaluate.wording import rows_in_words
from tasks.picture_style import FAINT, FIRST, INK, POINTS_PER_INCH, SECOND, TITLE_SIZE, WRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LINES = 10  # classes; of more than these the lines would hide each other
_WORST = 3
_GRID = np.linspace(0, 1, 201)
_SIDE, _LEGEND_SIZE = 4.4, 8.0  # inches, points
_LONGEST_NAMES = {1: 220.0, 2: 88.0}  # points, by the columns of the legend
# Five colours in two strokes stay apart for more eyes than ten colours.
_COLOURS = (FIRST, SECOND, "#1b8a6b", "#8e4aa8", INK)
_PALE = "#d6e6f5"
_STROKES = ("solid", (0, (3, 1)))
_STROKES_OF_WORST = ("solid", (0, (4, 1.5)), (0, (1, 1)))


@dataclass(frozen=True)
class _Panel:
    """What one of the two panels shows of a curve."""

    title: str
    x_label: str
    y_label: str
    steps: Literal["pre"] | None
    points: Callable[[ClassCurve], tuple[Floats, Floats]]
    on_grid: Callable[[ClassCurve], Floats]
    area: Callable[[ClassCurve], float]


_PANELS = (
    _Panel(
        title="ROC, each class against the rest (area below)",
        x_label="false positive rate",
        y_label="true positive rate",
        steps=None,
        points=lambda curve: (curve.false_positive_rate, curve.true_positive_rate),
        on_grid=lambda curve: curve.true_positive_rate_at(_GRID),
        area=lambda curve: curve.roc_auc,
    ),
    _Panel(
        title="precision and recall (average precision)",
        x_label="recall",
        y_label="precision",
        steps="pre",
        points=lambda curve: (curve.recall, curve.precision),
        on_grid=lambda curve: curve.precision_at(_GRID),
        area=lambda curve: curve.average_precision,
    ),
)


@picture_style.styled()
def draw_class_curves(table: pd.DataFrame, path: Path, title: str) -> None:
    """Draw a line a class, or of more than ten classes their mean, their range and the three worst.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; all probabilities finite. Classes that all rows
            have or none are left out; where no class remains, the picture says so.
        path: PNG to write.
        title: names the model.
    """
    from matplotlib.figure import Figure

    curves = class_curves(table)
    width = 2 * _SIDE + 0.9
    figure = Figure(figsize=(width, _SIDE))
    heading = picture_style.wrap(_heading(title, table, curves), TITLE_SIZE, width * POINTS_PER_INCH)
    figure.text(-0.04, 1.1, heading, size=TITLE_SIZE, va="bottom")
    for place, panel in enumerate(_PANELS):
        ax = figure.add_axes((place * (1 - _SIDE / width), 0, _SIDE / width, 1))
        _draw_axes(ax, panel)
        draw = _draw_few if len(curves) <= _MOST_LINES else _draw_many
        draw(ax, panel, curves)
        if curves:
            _draw_legend(ax)
    picture_style.save(figure, path)


def _heading(title: str, table: pd.DataFrame, curves: Sequence[ClassCurve]) -> str:
    if not curves:
        return f"{title}: no curves, since no class has both rows of its own and rows of other classes"
    return f"{title}: {len(curves):,} classes, each against the rest, on {rows_in_words(len(table))}"


def _draw_axes(ax: "Axes", panel: _Panel) -> None:
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=panel.x_label, ylabel=panel.y_label)
    ax.set_title(panel.title, loc="left", size=9.5)
    ax.grid(visible=True)
    ax.spines[["top", "right"]].set_visible(False)
    if not panel.steps:
        ax.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)


def _draw_legend(ax: "Axes") -> None:
    """Below the panel, since curves may run anywhere in it; in two columns where there are many lines."""
    handles, labels = ax.get_legend_handles_labels()
    columns = 1 if len(labels) <= _WORST + 2 else 2
    labels = [_shorten(label, _LONGEST_NAMES[columns]) for label in labels]
    ax.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.12),
        borderaxespad=0,
        fontsize=_LEGEND_SIZE,
        handlelength=2.4,
        ncols=columns,
    )


def _shorten(label: str, longest: float) -> str:
    """`name: 0.972` with its name shortened."""
    name, colon, area = label.rpartition(":")
    return picture_style.shorten(name, _LEGEND_SIZE, longest) + colon + area


def _draw_few(ax: "Axes", panel: _Panel, curves: Sequence[ClassCurve]) -> None:
    for place, curve in enumerate(curves):
        stroke, colour = divmod(place, len(_COLOURS))
        _draw_line(ax, panel, curve, _COLOURS[colour], _STROKES[stroke])


def _draw_many(ax: "Axes", panel: _Panel, curves: Sequence[ClassCurve]) -> None:
    on_grid = np.stack([panel.on_grid(curve) for curve in curves])
    areas = np.array([panel.area(curve) for curve in curves])
    label = f"mean of {len(curves):,} classes: {areas.mean():.3f}"
    ax.plot(_GRID, on_grid.mean(axis=0), drawstyle=_drawstyle(panel), color=FIRST, linewidth=2, label=label)
    label = f"range of the classes: {areas.min():.3f} to {areas.max():.3f}"
    extremes = on_grid.min(axis=0), on_grid.max(axis=0)
    ax.fill_between(_GRID, *extremes, step=panel.steps, color=_PALE, linewidth=0, label=label)
    worst = np.argsort(areas, kind="stable")[:_WORST].tolist()
    for place, stroke in zip(worst, _STROKES_OF_WORST, strict=True):
        _draw_line(ax, panel, curves[place], WRONG, stroke)


def _draw_line(ax: "Axes", panel: _Panel, curve: ClassCurve, colour: str, stroke: object) -> None:
    label = f"{curve.name}: {panel.area(curve):.3f}"
    (line,) = ax.plot(*panel.points(curve), drawstyle=_drawstyle(panel), label=label)
    line.set(color=colour, linestyle=stroke, linewidth=1.4)


def _drawstyle(panel: _Panel) -> str:
    return f"steps-{panel.steps}" if panel.steps else "default"
