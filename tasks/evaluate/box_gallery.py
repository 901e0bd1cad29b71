"""True and predicted boxes drawn on the images: some as they come, and the worst."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import picture_style, predictions
from tasks.evaluate.gallery import (
    CAPTION_SIZE,
    COLUMNS,
    IMAGE,
    NARROWEST,
    STEP_RIGHT,
    show_image,
    write_name,
)
from tasks.picture_style import FIRST, POINTS_PER_INCH, SECOND, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADING, _CAPTION, _GAP = 0.34, 0.4, 0.22  # inches
_LINE, _HALO = 1.6, 3.6  # points: a white edge keeps a box visible on any image
_SEED = 0


@picture_style.styled()
def draw_boxes(
    table: pd.DataFrame,
    read_pixels: Callable[[str], npt.NDArray[np.uint8]],
    path: Path,
    title: str,
    most: int = 20,
) -> None:
    """Draw true and predicted boxes: half of the images chosen at random, half with the lowest IoU.

    Below each stand its IoU and, of a model with a class head, "true → predicted, confidence".

    Args:
        table: of `tasks/predictions.py`, of a model with a box head; at least one row.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is drawn.
        path: PNG to write.
        title: stands above the images.
        most: pictures drawn at most.
    """
    from matplotlib.figure import Figure

    random, worst = sample_and_worst(table, most)
    width = max(min(max(len(random), len(worst)), COLUMNS) * STEP_RIGHT - _GAP, NARROWEST)
    groups = {f"{len(random)} at random": random, f"{len(worst)} with the lowest IoU": worst}
    height = sum(_height(rows) for rows in groups.values())
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    _draw_title(ax, title, width)
    top = 0.0
    for heading, rows in groups.items():
        if len(rows):
            ax.text(0, top + 0.18, heading, size=CAPTION_SIZE + 1, weight="bold")
            _draw_group(ax, table.iloc[rows], read_pixels, top + _HEADING)
        top += _height(rows)
    picture_style.save(figure, path)


def sample_and_worst(table: pd.DataFrame, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of rows chosen at random, and of those of the lowest IoU among the others, the lowest first.

    The same whatever the order of the rows is; `most` in all, of an odd number one more at random.
    """
    most = min(most, len(table))
    by_id = np.argsort(table["image_id"].to_numpy(str), kind="stable")
    chosen = np.random.default_rng(_SEED).permutation(by_id)
    random, others = chosen[: (most + 1) // 2], chosen[(most + 1) // 2 :]
    ious, ids = predictions.ious(table)[others], table["image_id"].to_numpy(str)[others]
    return random, others[np.lexsort((ids, ious))][: most // 2]


def _height(rows: npt.NDArray[np.int64]) -> float:
    """Inches of a group with its heading; nothing where it is empty."""
    lines = -(-len(rows) // COLUMNS)
    return lines * (IMAGE + _CAPTION + _GAP) + _HEADING if lines else 0.0


def _draw_title(ax: "Axes", title: str, width: float) -> None:
    """The title, and below it the two colours' meaning."""
    heading = picture_style.wrap(title, TITLE_SIZE, width * POINTS_PER_INCH)
    ax.text(0, -0.36, heading, size=TITLE_SIZE, va="bottom")
    ax.plot([0, 0.3], [-0.16] * 2, color=FIRST, linewidth=2 * _LINE, clip_on=False)
    ax.text(0.38, -0.16, "true box", va="center")
    ax.plot([1.2, 1.5], [-0.16] * 2, color=SECOND, linewidth=2 * _LINE, linestyle=(0, (3, 1.2)), clip_on=False)
    ax.text(1.58, -0.16, "predicted box", va="center")


def _draw_group(
    ax: "Axes", rows: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]], top: float
) -> None:
    true, predicted, ious = predictions.true_boxes(rows), predictions.predicted_boxes(rows), predictions.ious(rows)
    for place, image_id in enumerate(rows["image_id"]):
        line, column = divmod(place, COLUMNS)
        left, upper = column * STEP_RIGHT, top + line * (IMAGE + _CAPTION + _GAP)
        width, height = show_image(ax, left, upper, read_pixels(image_id))
        _draw_box(ax, true[place], left, upper, width, height, FIRST, "solid")
        _draw_box(ax, predicted[place], left, upper, width, height, SECOND, (0, (4, 1.6)))
        ax.text(left, upper + height + 0.16, f"IoU {ious[place]:.2f}", size=CAPTION_SIZE)
        if predictions.has_classes(rows):
            _write_class(ax, rows.iloc[[place]], left, upper + height + 0.32)


def _write_class(ax: "Axes", row: pd.DataFrame, left: float, y: float) -> None:
    """`cat → dog, 98.0%` in the colour of right or wrong, shortened to the image's width."""
    names, guess = predictions.class_names(row), int(predictions.predicted(row)[0])
    label, confidence = int(predictions.labels(row)[0]), float(predictions.probabilities(row).max())
    colour = picture_style.RIGHT if guess == label else picture_style.WRONG
    write_name(ax, left, y, f"{names[label]} → {names[guess]}", f", {confidence:.1%}", colour)


def _draw_box(
    ax: "Axes",
    box: npt.NDArray[np.float64],
    left: float,
    top: float,
    width: float,
    height: float,
    colour: str,
    style: object,
) -> None:
    """One box on an image that stands at these inches; what is no number is not drawn."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    if not np.isfinite(box).all():
        return
    corner = (left + box[0] * width, top + box[1] * height)
    drawn = Rectangle(corner, box[2] * width, box[3] * height, fill=False, edgecolor=colour, clip_on=False)
    drawn.set(linewidth=_LINE, linestyle=style, path_effects=[withStroke(linewidth=_HALO, foreground="white")])
    ax.add_patch(drawn)
