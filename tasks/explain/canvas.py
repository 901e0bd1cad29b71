"""A picture in inches from the top left, one set of axes for all: one for each of many tiles would take most time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks import picture_style
from tasks.picture_style import INK, POINTS_PER_INCH, TEXT_SIZE, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

SMALL = 8.0
"""Points of captions."""

_TITLE_GAP = 0.14  # inches
NARROWEST = 6.0
"""Inches, so that the title is not a column of words."""


class Canvas:
    """Where tiles, words and a title are put; the title stands above the top and may have any number of lines."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width = max(width, NARROWEST)
        self._figure = Figure(figsize=(self.width, height))
        self.axes = self._figure.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(height, 0))
        self.axes.set_axis_off()

    def title(self, text: str) -> None:
        """Wrapped to the canvas's width."""
        wrapped = picture_style.wrap(text, TITLE_SIZE, self.width * POINTS_PER_INCH)
        self.axes.text(0, -_TITLE_GAP, wrapped, size=TITLE_SIZE, va="bottom")

    def write(self, left: float, bottom: float, text: str, room: float, after: str = "", **style: Any) -> None:
        """One line of the text and what comes after it, the text shortened so that both fit into `room` inches."""
        style = {"size": TEXT_SIZE, "color": INK, **style}
        left_over = room * POINTS_PER_INCH - picture_style.text_width(after, style["size"])
        shown = picture_style.shorten(text, style["size"], left_over) + after
        self.axes.text(left, bottom, shown, va="baseline", **style)

    def tile(
        self,
        values: npt.NDArray[Any],
        left: float,
        top: float,
        size: tuple[float, float],
        colours: "Colormap | None" = None,
        limits: tuple[float, float] = (0, 1),
    ) -> None:
        """An image, or values in colours, over `size`: height and width in inches; with a thin frame."""
        from matplotlib.patches import Rectangle

        height, width = size
        extent = (left, left + width, top + height, top)
        low, high = limits
        # Many pixels are reduced smoothly; few stay the squares that they are.
        self.axes.imshow(values, extent=extent, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="auto")
        frame = Rectangle((left, top), width, height, fill=False, edgecolor=picture_style.FAINT, linewidth=0.6)
        frame.set_clip_on(False)
        self.axes.add_patch(frame)

    def save(self, path: Path) -> None:
        """Write it as PNG."""
        picture_style.save(self._figure, path)


def fitted(shape: tuple[int, ...], most: float) -> tuple[float, float]:
    """Height and width in inches of an image of the shape `(height, width, …)`, the longer side `most`."""
    height, width = shape[:2]
    longer = max(height, width)
    return height * most / longer, width * most / longer


def stretched(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """From its least, 0, to its largest value, 1; what is equal all over is 0."""
    low, high = values.min(), values.max()
    return np.zeros_like(values) if high <= low else (values - low) / (high - low)
