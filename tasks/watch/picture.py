"""What changed, as one picture: the balance of the classes, and each statistic of old and new images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks import picture_style
from tasks.picture_style import FAINT, FIRST, SECOND, TEXT_SIZE
from tasks.watch.drift import Drift, tell_p

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 20
_WIDTH, _PANEL, _BAR, _COLUMNS = 9.0, 2.4, 0.3, 3  # inches; panels a row
_LONGEST_NAME = 130.0  # points


@picture_style.styled()
def draw_changes(balance: pd.DataFrame, drifts: Sequence[Drift], path: Path, title: str) -> None:
    """Draw the images of each class before and now, and the distribution functions of each statistic.

    Args:
        balance: of `Differences`; of more than twenty classes those that changed most.
        drifts: what was tested; may be none.
        path: PNG to write.
        title: names the experiment.
    """
    from matplotlib.figure import Figure

    shown = _most_changed(balance)
    rows = -(-len(drifts) // _COLUMNS)
    heights = [_BAR * len(shown) + 0.7, *([_PANEL] * rows)]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), layout="constrained")
    grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=heights)
    _draw_balance(figure.add_subplot(grid[0, :]), shown, len(balance))
    for number, drift in enumerate(drifts):
        _draw_drift(figure.add_subplot(grid[1 + number // _COLUMNS, number % _COLUMNS]), drift)
    if drifts:
        handles, labels = figure.axes[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, title="share of the images up to a value")
    figure.suptitle(title)
    picture_style.save(figure, path)


def _most_changed(balance: pd.DataFrame) -> pd.DataFrame:
    change = (balance["after"] - balance["before"]).abs()
    return balance.loc[change.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES]].sort_index()


def _draw_balance(ax: "Axes", shown: pd.DataFrame, classes: int) -> None:
    places = np.arange(len(shown))
    for column, offset, colour, label in (("before", -0.2, FIRST, "before"), ("after", 0.2, SECOND, "now")):
        bars = ax.barh(places + offset, shown[column], height=0.36, color=colour, label=label)
        ax.bar_label(bars, labels=[f"{count:,}" for count in shown[column]], padding=3, fontsize=TEXT_SIZE - 1)
    ax.set_yticks(places, [picture_style.shorten(str(name), TEXT_SIZE, _LONGEST_NAME) for name in shown.index])
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(f"images of each class{_of_more(len(shown), classes)}", loc="left", fontsize=TEXT_SIZE)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0, fontsize=TEXT_SIZE - 1)


def _of_more(shown: int, classes: int) -> str:
    return f", the {shown} of {classes} that changed most" if shown < classes else ""


def _draw_drift(ax: "Axes", drift: Drift) -> None:
    """Share of the images up to each value, whose largest difference is the distance D."""
    for values, colour, label in ((drift.old, FIRST, "old"), (drift.new, SECOND, "new")):
        shares = np.arange(1, len(values) + 1) / len(values)
        ax.step(values, shares, where="post", color=colour, linewidth=1.6, label=f"{label} images")
    counts = f"{len(drift.old):,} old, {len(drift.new):,} new"
    ax.set_title(
        f"{drift.name}\nD {drift.distance:.2f}, p {tell_p(drift.p_value)}\n{counts}",
        loc="left",
        fontsize=TEXT_SIZE,
        fontweight="bold" if drift.differs else "normal",
    )
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.grid(color=FAINT)
    ax.spines[["top", "right"]].set_visible(False)
