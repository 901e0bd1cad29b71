"""The accuracy of slices as a picture: an interval a slice, beside the accuracy of all rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import picture_style
from tasks.picture_style import INK, POINTS_PER_INCH, RIGHT, TEXT_SIZE, TITLE_SIZE, WRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SLICES = 40
_LINE, _GAP = 0.24, 0.34  # inches: a slice; more before another kind, for its name
_WIDTH = 5.2  # inches of the axes
_LONGEST_NAME = 190.0  # points


@picture_style.styled()
def draw_slices(scores: pd.DataFrame, overall: float, path: Path, title: str, measured: str) -> None:
    """Draw each slice's 95 % interval, those that are clearly worse in red; of more than forty the worst forty.

    Args:
        scores: of `slices.accuracy_by_slice`.
        overall: the accuracy of all rows, 0..1.
        path: PNG to write; without slices it says so.
        title: names the model.
        measured: what the accuracy is called.
    """
    from matplotlib.figure import Figure

    shown = worst_slices(scores)
    places = _places(shown)
    height = (places.max() if len(shown) else 0) + _LINE
    figure = Figure(figsize=(_WIDTH, height))
    ax = figure.add_axes((0, 0, 1, 1), ylim=(height, 0))
    if shown.empty:
        ax.text(0, _LINE, "All test rows are alike: there are no slices.", size=TITLE_SIZE, color=INK)
        ax.set_axis_off()
    else:
        _draw_intervals(ax, shown, places, overall, measured)
        _draw_names(ax, shown, places)
    heading = picture_style.wrap(_heading(title, scores, overall, measured), TITLE_SIZE, 8.5 * POINTS_PER_INCH)
    ax.annotate(
        heading, (0, 1), (-_names_width(shown), 14), "axes fraction", "offset points", size=TITLE_SIZE, va="bottom"
    )
    picture_style.save(figure, path)


def worst_slices(scores: pd.DataFrame) -> pd.DataFrame:
    """The slices to draw, in the table's order: those that chance explains least, the least accurate among equals."""
    order = np.lexsort((scores["value"], scores["accuracy"], scores["p_value"]))
    return scores.iloc[np.sort(order[:MOST_SLICES])]


def _places(shown: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(slices,)` inches from the top."""
    another = (shown["slice"] != shown["slice"].shift()).to_numpy()
    return np.asarray(np.cumsum(_LINE + _GAP * another) - _LINE / 2)


def _heading(title: str, scores: pd.DataFrame, overall: float, measured: str) -> str:
    heading = f"{title}: {measured} by slice of the test rows, {overall:.1%} of all"
    if len(scores) > MOST_SLICES:
        heading += f"; the worst {MOST_SLICES} of {len(scores)} slices"
    return heading


def _draw_intervals(
    ax: "Axes", shown: pd.DataFrame, places: npt.NDArray[np.float64], overall: float, measured: str
) -> None:
    for worse, colour, label in (
        (False, RIGHT, f"{measured}, 95% interval"),
        (True, WRONG, "clearly worse than the other rows"),
    ):
        chosen = (shown["worse"] == worse).to_numpy()
        part, places_of_part = shown[chosen], places[chosen]
        if len(part):
            ax.hlines(places_of_part, part["low"], part["high"], color=colour, linewidth=2)
            ax.plot(part["accuracy"], places_of_part, "o", color=colour, markersize=5, label=label)
    ax.axvline(overall, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0, label="all rows")
    lowest, highest = min(float(shown["low"].min()), overall), max(float(shown["high"].max()), overall)
    ax.set_xlim(max(lowest - 0.03, -0.01), min(highest + 0.03, 1.01))
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.set_xlabel(measured)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=ax.transAxes, ncols=3, borderaxespad=3.6)


def _draw_names(ax: "Axes", shown: pd.DataFrame, places: npt.NDArray[np.float64]) -> None:
    """Values to the left, kinds above them, and accuracy and rows to the right."""
    names = [picture_style.shorten(value, TEXT_SIZE, _LONGEST_NAME) for value in shown["value"]]
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0, pad=8)
    before = None
    for place, kind, accuracy, rows in zip(places, shown["slice"], shown["accuracy"], shown["rows"], strict=True):
        _write_beside(ax, 1, place, (8, 0), f"{accuracy:.1%} of {rows:,}")
        if kind != before:
            _write_beside(ax, 0, place, (-8, 0.8 * _LINE * POINTS_PER_INCH), kind, ha="right", weight="bold")
        before = kind


def _write_beside(ax: "Axes", side: int, place: float, points: tuple[float, float], text: str, **look: Any) -> None:
    """Write beside the axes: 0 is their left side, 1 their right one; `points` to the right and up from there."""
    ax.annotate(text, (side, place), points, ax.get_yaxis_transform(), "offset points", va="center", **look)


def _names_width(shown: pd.DataFrame) -> float:
    """Points that the longest name takes to the left of the axes."""
    if shown.empty:
        return 0.0
    widths = [picture_style.text_width(value, TEXT_SIZE) for value in shown["value"]]
    return min(max(widths), _LONGEST_NAME) + 8
