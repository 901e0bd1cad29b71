"""How far a model's confidence can be taken at its word: a reliability diagram above a histogram of confidences.

Guo et al., On calibration of modern neural networks, 2017, figure 1.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks import picture_style
from tasks.evaluate.calibration import Bins, expected_calibration_error, reliability_bins
from tasks.evaluate.ticks import round_numbers
from tasks.evaluate.wording import rows_in_words
from tasks.picture_style import FIRST, INK, POINTS_PER_INCH, RIGHT, TITLE_SIZE, WRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 5.2, 6.6  # inches
_TICKS_DOWN_TO = 30  # of the highest bar: the numbers of smaller ones would overlap
_BAR = 0.42  # of a bin, so that two leave a gap to the next bin's
_PALE = "#d6e6f5"


@picture_style.styled()
def draw_calibration(table: pd.DataFrame, path: Path, title: str) -> None:
    """Draw accuracy against confidence in 15 bins with the gaps between the two, and how many rows each bin has.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; all probabilities finite.
        path: PNG to write.
        title: names the model.
    """
    from matplotlib.figure import Figure

    bins, error = reliability_bins(table), expected_calibration_error(table)
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    upper = figure.add_axes((0, 0.42, 1, 0.58))
    lower = figure.add_axes((0, 0, 1, 0.32), sharex=upper)
    _draw_reliability(upper, bins)
    _draw_histogram(lower, bins)
    heading = f"{title}: expected calibration error {error:.3f} on {rows_in_words(len(table))}"
    wrapped = picture_style.wrap(heading, TITLE_SIZE, _WIDTH * POINTS_PER_INCH)
    upper.set_title(wrapped, loc="left", pad=24)
    picture_style.save(figure, path)


def _draw_reliability(ax: "Axes", bins: Bins) -> None:
    """Bars as high as the accuracy; from there to the mean confidence, hatched, what the model claims too much."""
    filled = bins.count > 0
    left, width = bins.low[filled], (bins.high - bins.low)[filled]
    accuracy, confidence = bins.accuracy[filled], bins.confidence[filled]
    ax.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="as sure as right")
    ax.bar(left, accuracy, width, align="edge", color=_PALE, edgecolor=FIRST, label="accuracy")
    for is_gap, colour, hatch, label in (
        (confidence > accuracy, WRONG, "////", "gap: too sure"),
        (confidence < accuracy, FIRST, "....", "gap: not sure enough"),
    ):
        if not is_gap.any():
            continue  # the legend names only what is there
        height = (confidence - accuracy)[is_gap]
        bars = ax.bar(left[is_gap], height, width[is_gap], accuracy[is_gap], align="edge", label=label)
        for bar in bars:
            bar.set(facecolor="none", edgecolor=colour, hatch=hatch, linewidth=0.8)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    _finish(ax)


def _draw_histogram(ax: "Axes", bins: Bins) -> None:
    """Right and wrong rows of each bin side by side, on a scale of square roots so that few are seen beside many."""
    right = np.nan_to_num(bins.accuracy) * bins.count
    middle, width = (bins.low + bins.high) / 2, _BAR * (bins.high - bins.low)
    ax.bar(middle - width / 2, right, width, color=RIGHT, label="right")
    ax.bar(middle + width / 2, bins.count - right, width, color=WRONG, label="wrong")
    ax.set_yscale("function", functions=(lambda rows: np.sqrt(np.maximum(rows, 0)), np.square))
    highest = max(float(bins.count.max()), 1.0)
    ticks = round_numbers(highest)
    ticks = ticks[ticks >= highest / _TICKS_DOWN_TO]
    ax.set_yticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    ax.set(ylim=(0, 1.1 * highest), xlabel="confidence: probability of the predicted class")
    ax.set_ylabel("test rows (scale of square roots)")
    _finish(ax)


def _finish(ax: "Axes") -> None:
    """A quiet grid, and the legend above the panel, since bars may stand anywhere in it."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=4,
        fontsize=8,
        handlelength=1.6,
        columnspacing=1.2,
    )
    ax.grid(visible=True, axis="y")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
