"""The wrong predictions that the model was surest of, as pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import picture_style, predictions
from tasks.picture_style import DOTS_PER_INCH, POINTS_PER_INCH, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 5
IMAGE, _CAPTION, _GAP = 1.7, 0.42, 0.22  # inches
_STEP_DOWN, STEP_RIGHT = IMAGE + _CAPTION + _GAP, IMAGE + _GAP
NARROWEST = 5.0  # inches, so that the title is not a column of words above a single mistake
CAPTION_SIZE = 8.0  # points


@picture_style.styled()
def draw_confident_mistakes(
    table: pd.DataFrame,
    read_pixels: Callable[[str], npt.NDArray[np.uint8]],
    path: Path,
    title: str,
    most: int = 25,
) -> None:
    """Draw the most confident wrong predictions, the surest first, each with "true → predicted, confidence".

    Args:
        table: of `tasks/predictions.py`.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is drawn.
        path: PNG to write; without mistakes it says so.
        title: stands above the grid.
        most: pictures drawn at most.
    """
    from matplotlib.figure import Figure

    mistakes = table.iloc[confident_mistakes(table, most)]
    width = max(min(len(mistakes), COLUMNS) * STEP_RIGHT - _GAP, NARROWEST)
    height = max(-(-len(mistakes) // COLUMNS) * _STEP_DOWN, 2 * _CAPTION)
    figure = Figure(figsize=(width, height))
    # One set of axes in inches for all images: twenty-five of them would take most of the time.
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    heading = picture_style.wrap(title, TITLE_SIZE, width * POINTS_PER_INCH)
    ax.text(0, -0.1, heading, size=TITLE_SIZE, va="bottom")
    _draw_grid(ax, mistakes, read_pixels)
    if mistakes.empty:
        ax.text(0, _CAPTION, f"No mistakes on {len(table):,} test rows.", size=TITLE_SIZE, color=picture_style.RIGHT)
    picture_style.save(figure, path)


def confident_mistakes(table: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """`(at most `most`,)` positions of the wrong rows, the surest first; equals by image id, whatever the row order."""
    wrong = np.flatnonzero(~predictions.correct(table))
    confidence = predictions.probabilities(table).max(axis=1)[wrong]
    image_ids = table["image_id"].to_numpy(str)[wrong]
    return wrong[np.lexsort((image_ids, -confidence))][:most]


def _draw_grid(ax: "Axes", mistakes: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]]) -> None:
    names, confidences = predictions.class_names(mistakes), predictions.probabilities(mistakes).max(axis=1)
    rows = zip(
        mistakes["image_id"], predictions.labels(mistakes), predictions.predicted(mistakes), confidences, strict=True
    )
    for place, (image_id, label, guess, confidence) in enumerate(rows):
        line, column = divmod(place, COLUMNS)
        left, top = column * STEP_RIGHT, line * _STEP_DOWN
        write_name(ax, left, top + 0.17, names[label], " →", picture_style.RIGHT)
        write_name(ax, left, top + 0.34, names[guess], f", {confidence:.1%}", picture_style.WRONG)
        show_image(ax, left, top + _CAPTION, read_pixels(image_id))


def write_name(ax: "Axes", x: float, y: float, name: str, after: str, colour: str) -> None:
    """The name, shortened so that it ends with `after` within its image's width."""
    room = IMAGE * POINTS_PER_INCH - picture_style.text_width(after, CAPTION_SIZE)
    ax.text(x, y, picture_style.shorten(name, CAPTION_SIZE, room) + after, size=CAPTION_SIZE, color=colour)


def show_image(ax: "Axes", left: float, top: float, pixels: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """The image in its own proportions, enlarged by nearest neighbour, reduced smoothly; its width and height."""
    from matplotlib.patches import Rectangle
    from PIL import Image

    room = round(IMAGE * DOTS_PER_INCH)
    image = Image.fromarray(pixels)
    width, height = (side * IMAGE / max(image.size) for side in image.size)
    image.thumbnail((2 * room, 2 * room))  # matplotlib alone needs ten times as long for a photograph
    interpolation = "nearest" if max(image.size) < room else "auto"
    extent = (left, left + width, top + height, top)
    ax.imshow(np.asarray(image), interpolation=interpolation, extent=extent, aspect="auto")
    ax.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=picture_style.FAINT, clip_on=False))
    return width, height
