"""What augmentation makes of a few training images, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline_config.augmentation import Augmentation
from tasks import picture_style
from tasks.images import Pixels
from tasks.input_pipeline import ImageSet, Positions
from tasks.picture_style import POINTS_PER_INCH, TEXT_SIZE, TITLE_SIZE
from tasks.train.augmentation import augment_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS = 6
_VERSIONS = 6
_TILE, _GAP, _HEADING, _TITLE = 1.2, 0.1, 0.08, 0.34  # inches
_NARROWEST_COLUMN = 0.7  # inches, so that the headings stay apart above upright images
_WIDEST_NAME = 1.5  # inches
_ORIGINAL, _CHANGED = "original", "as the training sees it, changed anew in every step"


@picture_style.styled()
def draw_augmented(
    images: ImageSet, section: Augmentation, class_names: Sequence[str], seed: int, path: Path, title: str
) -> None:
    """Draw a few training images, one a row: the original at the left, then what successive steps make of it.

    Args:
        images: six training rows are shown, of as many classes as can be.
        section: the changes; the title names those that are on.
        class_names: by label.
        seed: chooses the images and draws the changes.
        path: PNG to write.
        title: what is trained, to open the title.
    """
    from matplotlib.figure import Figure

    chosen = choose_images(images, seed)
    names = [class_names[label] for label in images.labels[chosen]]
    tiles = _versions(images.pixels[chosen], section, seed)
    grid = _Grid(tiles.shape[2:4], names)
    figure = Figure(figsize=(grid.width, grid.height(len(tiles))))
    # One set of axes in inches for all images: one for each would take most of the time.
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, grid.width), ylim=(grid.height(len(tiles)), 0))
    ax.set_axis_off()
    _draw_headings(ax, grid, f"{title}, augmentation: {describe(section)}")
    for line, (name, versions) in enumerate(zip(names, tiles, strict=True)):
        _draw_row(ax, grid, line, name, versions)
    picture_style.save(figure, path)


def choose_images(images: ImageSet, seed: int) -> Positions:
    """`(at most 6,)` positions of training images by label; a second of a class only when every class has its first."""
    shuffled = np.random.default_rng(seed).permutation(images.positions("train"))
    labels = pd.Series(images.labels[shuffled])
    number_in_class = labels.groupby(labels).cumcount()
    first_of_each = number_in_class.sort_values(kind="stable").index[:_ROWS].to_numpy()
    chosen: Positions = shuffled[first_of_each]
    return chosen[np.argsort(images.labels[chosen], kind="stable")]


def describe(section: Augmentation) -> str:
    """The changes that are on, as "rotation up to 15°, horizontal flip"."""
    moves = {
        f"rotation up to {section.rotation:g}°": section.rotation,
        f"width shift up to {100 * section.width_shift:g} %": section.width_shift,
        f"height shift up to {100 * section.height_shift:g} %": section.height_shift,
        f"scale {1 - section.zoom:g} to {1 + section.zoom:g}": section.zoom,
        f"shear up to {section.shear:g}": section.shear,
    }
    flips = {"horizontal flip": section.horizontal_flip, "vertical flip": section.vertical_flip}
    words = [word for word, is_on in {**moves, **flips}.items() if is_on]
    if any(moves.values()):  # a flip brings nothing in from outside
        words.append(f"fill {section.fill_mode}")
    if section.cutout:
        words.append(f"a patch of {100 * section.cutout:g} % of the sides cut out")
    return ", ".join(words) or "nothing is changed"


def _versions(originals: Pixels, section: Augmentation, seed: int) -> npt.NDArray[np.uint8]:
    """`(rows, 1 + versions, height, width, 3)`: each original, then as the first epochs of a training change it."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors((originals,)).repeat(_VERSIONS)
    changed = [pixels for (pixels,) in augment_with(section)(batches, seed, 0, 1).as_numpy_iterator()]
    return np.stack([originals, *changed], axis=1)


class _Grid:
    """Where things stand, in inches from the top left of the first row."""

    def __init__(self, size: tuple[int, int], names: Sequence[str]) -> None:
        self.tile_height, self.tile_width = (side * _TILE / max(size) for side in size)
        widest = max((picture_style.text_width(name, TEXT_SIZE) for name in names), default=0) / POINTS_PER_INCH
        self.name_width = min(widest, _WIDEST_NAME)
        self._column = max(self.tile_width, _NARROWEST_COLUMN) + _GAP

    @property
    def width(self) -> float:
        return self.left(_VERSIONS) + self._column - _GAP

    def height(self, rows: int) -> float:
        return self.top(rows)

    def left(self, column: int) -> float:
        """The original, column 0, stands off from what is made of it."""
        return self.name_width + _GAP + column * self._column + (2 * _GAP if column else 0)

    def top(self, row: int) -> float:
        return row * (self.tile_height + _GAP)


def _draw_headings(ax: "Axes", grid: _Grid, title: str) -> None:
    heading = picture_style.wrap(title, TITLE_SIZE, grid.width * POINTS_PER_INCH)
    ax.text(0, -_TITLE, heading, size=TITLE_SIZE, va="bottom")
    ax.text(grid.left(0), -_HEADING, _ORIGINAL, va="bottom")
    ax.text(grid.left(1), -_HEADING, _CHANGED, va="bottom")


def _draw_row(ax: "Axes", grid: _Grid, row: int, name: str, versions: npt.NDArray[np.uint8]) -> None:
    """The class's name, then every version; "auto" enlarges small images by nearest neighbour, others smoothly."""
    top, bottom = grid.top(row), grid.top(row) + grid.tile_height
    shown = picture_style.shorten(name, TEXT_SIZE, grid.name_width * POINTS_PER_INCH)
    ax.text(0, (top + bottom) / 2, shown, va="center")
    for column, pixels in enumerate(versions):
        left = grid.left(column)
        ax.imshow(pixels, interpolation="auto", extent=(left, left + grid.tile_width, bottom, top), aspect="auto")
