"""The confusion matrix as a picture that reads from 2 classes to several hundred.

What is right (the diagonal) is blue, what is wrong is red, both on one scale of square roots: on a linear one the
diagonal would drown the errors, on a logarithmic one few errors would look like many. What never happened is white.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks import picture_style
from tasks.evaluate.class_order import confusion_order
from tasks.evaluate.ticks import round_numbers
from tasks.picture_style import POINTS_PER_INCH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMALLEST_SIDE, _LARGEST_SIDE = 3.2, 14.0  # inches of the matrix without its labels
_CELL = 0.55  # inches, while the side stays within its bounds
_SMALLEST_NUMBER, _SMALLEST_LABEL = 5.5, 6.0  # points, legible at the pictures' resolution
_LONGEST_LABEL = 150.0  # points
_BAR_WIDTH, _BAR_HEIGHT, _BAR_GAP = 0.28, 5.0, 0.25  # inches


@dataclass(frozen=True)
class _Sizes:
    """Lengths in inches, font sizes in points."""

    side: float
    cell: float
    label: float
    label_every: int


@picture_style.styled()
def draw_confusion_matrix(
    counts: npt.NDArray[np.int64], class_names: Sequence[str], path: Path, normalised: bool, title: str
) -> None:
    """Draw rows = true class, columns = predicted class, with numbers in the cells while they are legible.

    More than three classes are sorted so that those confused stand together, which the axes then say.

    Args:
        counts: `(classes, classes)` test rows, as of `metrics.confusion_counts`.
        class_names: in label order.
        path: PNG to write.
        normalised: show shares of each true class in per cent instead of counts.
        title: stands above the matrix.
    """
    from matplotlib.figure import Figure

    order = confusion_order(counts)
    names, counts = [class_names[label] for label in order], counts[np.ix_(order, order)]
    values = _shares(counts) if normalised else counts.astype(np.float64)
    highest = 1.0 if normalised else max(float(values.max()), 1.0)
    depth = np.sqrt(values / highest)
    sizes = _sizes(len(names))
    figure = Figure(figsize=(sizes.side, sizes.side))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(_colours(depth), interpolation="nearest", aspect="equal")
    _draw_lines(ax, len(names), sizes)
    _draw_numbers(ax, values, depth, normalised, sizes)
    _draw_labels(ax, names, sizes, is_sorted=bool((np.diff(order) < 0).any()))
    _draw_colour_bar(figure, highest, normalised, sizes)
    ax.set_title(picture_style.wrap(title, picture_style.TITLE_SIZE, sizes.side * POINTS_PER_INCH), loc="left", pad=10)
    picture_style.save(figure, path)


def _shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each row divided by its sum; zeros where a class has no test rows."""
    shares: npt.NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _sizes(classes: int) -> _Sizes:
    side = float(np.clip(classes * _CELL, _SMALLEST_SIDE, _LARGEST_SIDE))
    cell = side / classes
    line = cell * POINTS_PER_INCH / 1.2  # a label needs its font's size and a fifth between lines
    return _Sizes(side, cell, float(np.clip(line, _SMALLEST_LABEL, 10.0)), max(int(np.ceil(_SMALLEST_LABEL / line)), 1))


def _colours(depth: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """`(classes, classes, 4)` RGBA for depths of colour in 0..1."""
    colours = np.asarray(picture_style.wrong_colours()(depth, bytes=True))
    diagonal = np.arange(len(depth))
    colours[diagonal, diagonal] = picture_style.right_colours()(depth[diagonal, diagonal], bytes=True)
    colours[depth == 0] = 255
    return colours


def _draw_lines(ax: "Axes", classes: int, sizes: _Sizes) -> None:
    """A line about every cell, or among many classes about every ten labels, to follow a row to its name."""
    step = 1 if classes <= 40 else 10 * sizes.label_every
    between = np.arange(0, classes + 1, step) - 0.5
    ax.hlines(between, -0.5, classes - 0.5, color=picture_style.FAINT, linewidth=0.5)
    ax.vlines(between, -0.5, classes - 0.5, color=picture_style.FAINT, linewidth=0.5)
    ax.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))


def _draw_numbers(
    ax: "Axes", values: npt.NDArray[np.float64], depth: npt.NDArray[np.float64], normalised: bool, sizes: _Sizes
) -> None:
    """The number of every cell that is not zero, where the longest of them is legible in a cell."""
    cells = [(row, column, _number(values[row, column], normalised)) for row, column in np.argwhere(values > 0)]
    longest = max((len(number) for _, _, number in cells), default=1)
    size = min(11.0, sizes.cell * POINTS_PER_INCH * min(0.5, 0.85 / (0.64 * longest)))  # 0.64: a digit's width
    if size < _SMALLEST_NUMBER:
        return
    for row, column, number in cells:
        ink = "white" if depth[row, column] > 0.45 else picture_style.INK
        ax.text(column, row, number, ha="center", va="center", size=size, color=ink).set_in_layout(False)


def _number(value: float, normalised: bool) -> str:
    """A count, or a whole percentage that says 0 or 100 only where it is that."""
    if not normalised:
        return str(int(value))
    return "<1" if value < 0.01 else ">99" if 0.99 < value < 1 else f"{100 * value:.0f}"


def _draw_labels(ax: "Axes", class_names: Sequence[str], sizes: _Sizes, is_sorted: bool) -> None:
    named = range(0, len(class_names), sizes.label_every)
    names = [picture_style.shorten(class_names[label], sizes.label, _LONGEST_LABEL) for label in named]
    ax.set_yticks(named, names, size=sizes.label)
    ax.set_xticks(named, names, size=sizes.label, **_turn(names, sizes))
    ax.tick_params(length=2, pad=2, color=picture_style.FAINT)
    note = ", sorted so that confusions stand together" if is_sorted else ""
    note += f" (one in {sizes.label_every} is named)" if sizes.label_every > 1 else ""
    ax.set_xlabel(f"predicted class{note}", size=10, labelpad=8)
    ax.set_ylabel(f"true class{note}", size=10, labelpad=8)


def _turn(names: Sequence[str], sizes: _Sizes) -> dict[str, Any]:
    """Column labels lie flat where they fit their cells, lean where lines stay apart, else stand."""
    widest = max(picture_style.text_width(name, sizes.label) for name in names)
    if widest < 0.9 * sizes.cell * POINTS_PER_INCH:
        return {}
    if sizes.cell * POINTS_PER_INCH > 2 * sizes.label:
        return {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    return {"rotation": 90}


def _draw_colour_bar(figure: "Figure", highest: float, normalised: bool, sizes: _Sizes) -> None:
    """Both colours side by side with one set of ticks, since they share the scale."""
    height = min(sizes.side, _BAR_HEIGHT) / sizes.side
    ax = figure.add_axes((1 + _BAR_GAP / sizes.side, 1 - height, _BAR_WIDTH / sizes.side, height))
    depth = np.linspace(0, 1, 256)
    colours = np.stack([picture_style.right_colours()(depth), picture_style.wrong_colours()(depth)], axis=1)
    ax.imshow(colours, origin="lower", aspect="auto", extent=(0, 2, 0, 1), interpolation="nearest")
    highest = 100.0 if normalised else highest
    ticks = round_numbers(highest)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_yticks(np.sqrt(ticks / highest), [f"{tick:,.0f}" for tick in ticks])
    ax.set_xticks([0.5, 1.5], ["right", "wrong"], rotation=90)
    ax.set_ylabel("% of the true class" if normalised else "test rows")
    ax.tick_params(length=2, pad=2, labelsize=8)
    ax.spines[:].set_visible(False)
