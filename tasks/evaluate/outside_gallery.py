"""The images from outside the data set with what a model takes them for, the wrong ones first."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import picture_style, predictions
from tasks.evaluate.gallery import IMAGE, NARROWEST, STEP_RIGHT, show_image, write_name
from tasks.picture_style import POINTS_PER_INCH, RIGHT, TITLE_SIZE, WRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 6  # so that 36 fill a square
_CAPTION, _GAP, _LEGEND = 0.42, 0.26, 0.26  # inches
_STEP_DOWN = IMAGE + _CAPTION + _GAP
_FRAME = 2.2  # points


@picture_style.styled()
def draw_outside(
    table: pd.DataFrame,
    read_pixels: Callable[[str], npt.NDArray[np.uint8]],
    path: Path,
    title: str,
    most: int = 36,
) -> None:
    """Draw each image with "true → predicted, confidence" above it, framed blue where right and red where wrong.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; at least one row.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is drawn.
        path: PNG to write.
        title: stands above the images.
        most: pictures drawn at most.
    """
    from matplotlib.figure import Figure

    shown = table.iloc[wrong_first(table, most)]
    width = max(min(len(shown), _COLUMNS) * STEP_RIGHT, NARROWEST)
    height = -(-len(shown) // _COLUMNS) * _STEP_DOWN
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    heading = picture_style.wrap(title, TITLE_SIZE, width * POINTS_PER_INCH)
    ax.text(0, -_LEGEND - 0.08, heading, size=TITLE_SIZE, va="bottom")
    ax.text(0, -0.06, _legend(len(shown), len(table)), va="bottom")
    _draw_grid(ax, shown, read_pixels)
    picture_style.save(figure, path)


def wrong_first(table: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """Positions of at most `most` rows: the wrong ones, the surest first, then the right ones, the least sure first.

    Equals stand by image id, whatever the order of the rows.
    """
    correct, confidence = predictions.correct(table), predictions.probabilities(table).max(axis=1)
    keys = (table["image_id"].to_numpy(str), np.where(correct, confidence, -confidence), correct)
    return np.lexsort(keys)[:most]


def _legend(shown: int, rows: int) -> str:
    part = f"; {shown:,} of {rows:,} shown, wrong ones first" if shown < rows else ""
    return f"true class → predicted class, its probability; blue: right, red: wrong{part}"


def _draw_grid(ax: "Axes", shown: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]]) -> None:
    names, confidences = predictions.class_names(shown), predictions.probabilities(shown).max(axis=1)
    rows = zip(shown["image_id"], predictions.labels(shown), predictions.predicted(shown), confidences, strict=True)
    for place, (image_id, label, guess, confidence) in enumerate(rows):
        line, column = divmod(place, _COLUMNS)
        left, top = column * STEP_RIGHT, line * _STEP_DOWN + 0.04
        colour = RIGHT if guess == label else WRONG
        write_name(ax, left, top + 0.17, names[label], " →", RIGHT)
        write_name(ax, left, top + 0.34, names[guess], f", {confidence:.1%}", colour)
        _draw_frame(ax, left, top + _CAPTION, show_image(ax, left, top + _CAPTION, read_pixels(image_id)), colour)


def _draw_frame(ax: "Axes", left: float, top: float, size: tuple[float, float], colour: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=colour, linewidth=_FRAME, clip_on=False))
