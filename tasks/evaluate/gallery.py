"""Images in a grid, each below two lines of text: what every gallery of an evaluation is drawn with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks import picture_style
from tasks.picture_style import DOTS_PER_INCH, POINTS_PER_INCH, TEXT_SIZE, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
IMAGE, _CAPTION, _GAP = 1.7, 0.42, 0.22  # inches
_STEP_DOWN, STEP_RIGHT = IMAGE + _CAPTION + _GAP, IMAGE + _GAP
NARROWEST = 5.0  # inches, so that the title is not a column of words above a single image
CAPTION_SIZE = 8.0  # points
_FRAME = 2.2  # points
_NOTE_LINE = 0.17  # inches
_PIXELS = 2 * round(IMAGE * DOTS_PER_INCH)


@dataclass(frozen=True)
class Line:
    """A class name, shortened where it has to be, and what always stands behind it."""

    name: str
    after: str
    colour: str


@dataclass(frozen=True)
class Picture:
    """One image of a gallery, the two lines above it, and the colour of its frame, if it has one."""

    image_id: str
    lines: tuple[Line, Line]
    frame: str | None = None


@picture_style.styled()
def draw_gallery(
    pictures: Sequence[Picture],
    read_pixels: Callable[[str], npt.NDArray[np.uint8]],
    path: Path,
    title: str,
    note: str,
    instead: str,
    columns: int = COLUMNS,
) -> None:
    """Draw the pictures line by line in the order given.

    Args:
        pictures: possibly none.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked once for each picture.
        path: PNG to write.
        title: stands above the images.
        note: says below the title how to read them.
        instead: stands in their place where there are none.
        columns: images side by side at most.
    """
    width = max(min(len(pictures), columns) * STEP_RIGHT - _GAP, NARROWEST)
    figure, ax = blank_page(width, max(-(-len(pictures) // columns) * _STEP_DOWN, 2 * _CAPTION))
    write_heading(ax, title, note if pictures else "", width)
    for place, picture in enumerate(pictures):
        line, column = divmod(place, columns)
        _draw_picture(ax, column * STEP_RIGHT, line * _STEP_DOWN, picture, read_pixels(picture.image_id))
    if not pictures:
        ax.text(0, _CAPTION, picture_style.wrap(instead, TITLE_SIZE, width * POINTS_PER_INCH), size=TITLE_SIZE)
    picture_style.save(figure, path)


def blank_page(width: float, height: float) -> tuple["Figure", "Axes"]:
    """A figure with one set of axes in inches from its upper left corner.

    One for all images: twenty-five sets of axes would take most of the time.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    return figure, ax


def write_heading(ax: "Axes", title: str, note: str, width: float) -> None:
    """The title above the page, and between them the note in a smaller type."""
    note = picture_style.wrap(note, TEXT_SIZE, width * POINTS_PER_INCH)
    room = _NOTE_LINE * (note.count("\n") + 1) + 0.08 if note else 0.0
    heading = picture_style.wrap(title, TITLE_SIZE, width * POINTS_PER_INCH)
    ax.text(0, -room - 0.1, heading, size=TITLE_SIZE, va="bottom")
    ax.text(0, -0.08, note, size=TEXT_SIZE, va="bottom")


def _draw_picture(ax: "Axes", left: float, top: float, picture: Picture, pixels: npt.NDArray[np.uint8]) -> None:
    from matplotlib.patches import Rectangle

    for line, y in zip(picture.lines, (top + 0.17, top + 0.34), strict=True):
        write_name(ax, left, y, line.name, line.after, line.colour)
    size = show_image(ax, left, top + _CAPTION, pixels)
    if picture.frame:
        frame = Rectangle((left, top + _CAPTION), *size, fill=False, edgecolor=picture.frame, linewidth=_FRAME)
        ax.add_patch(frame).set_clip_on(False)


def write_name(ax: "Axes", x: float, y: float, name: str, after: str, colour: str) -> None:
    """The name, shortened so that it ends with `after` within its image's width."""
    room = IMAGE * POINTS_PER_INCH - picture_style.text_width(after, CAPTION_SIZE)
    ax.text(x, y, picture_style.shorten(name, CAPTION_SIZE, room) + after, size=CAPTION_SIZE, color=colour)


def thumbnail(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image reduced to what a gallery shows of it; as it is where it is smaller."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((_PIXELS, _PIXELS))  # matplotlib alone needs ten times as long for a photograph
    return np.asarray(image)


def show_image(ax: "Axes", left: float, top: float, pixels: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """The image in its own proportions, enlarged by nearest neighbour, reduced smoothly; its width and height."""
    from matplotlib.patches import Rectangle

    height, width = (side * IMAGE / max(pixels.shape[:2]) for side in pixels.shape[:2])
    reduced = thumbnail(pixels)
    interpolation = "nearest" if max(reduced.shape[:2]) < _PIXELS // 2 else "auto"
    extent = (left, left + width, top + height, top)
    ax.imshow(reduced, interpolation=interpolation, extent=extent, aspect="auto")
    ax.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=picture_style.FAINT, clip_on=False))
    return width, height
