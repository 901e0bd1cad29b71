"""The pairs of classes that a model confuses most, each with images of the one that it takes for the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    blank_page,
    show_image,
    write_heading,
)
from tasks.evaluate.gallery_rows import surest_first
from tasks.evaluate.metrics import confusion_counts
from tasks.evaluate.wording import rows_in_words
from tasks.picture_style import INK, RIGHT, TEXT_SIZE, TITLE_SIZE, WRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADING, _CAPTION, _GAP = 0.3, 0.22, 0.24  # inches
_STEP_DOWN = _HEADING + IMAGE + _CAPTION + _GAP
_WIDTH = COLUMNS * STEP_RIGHT
_LONGEST_NAME = 200.0  # points, so that two names and the figures stay on a line


@dataclass(frozen=True)
class ConfusedPair:
    """A true class, the class it is taken for, how many rows that are and which share of the true class's rows.

    `rows` are their positions in the table, the surest first.
    """

    label: int
    taken_for: int
    count: int
    share: float
    rows: npt.NDArray[np.int64]


def most_confused(table: pd.DataFrame, most: int = 6) -> list[ConfusedPair]:
    """The pairs with the most rows; equals by share, then by label, whatever the order of the rows.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head.
        most: pairs at most.
    """
    counts = confusion_counts(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(counts, 0)
    labels, taken_for = np.nonzero(counts)
    order = np.lexsort((taken_for, labels, -shares[labels, taken_for], -counts[labels, taken_for]))[:most]
    of_row = np.stack([predictions.labels(table), predictions.predicted(table)], axis=1)
    pairs = []
    for label, other in zip(labels[order].tolist(), taken_for[order].tolist(), strict=True):
        rows = surest_first(table, np.flatnonzero((of_row == (label, other)).all(axis=1)))
        pairs.append(ConfusedPair(label, other, int(counts[label, other]), float(shares[label, other]), rows))
    return pairs


@picture_style.styled()
def draw_most_confused(
    table: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]], path: Path, title: str
) -> None:
    """Draw up to six pairs, a line of up to five images each, with the probability of the wrong class below.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is drawn.
        path: PNG to write; without mistakes it says so.
        title: names the model.
    """
    pairs, names = most_confused(table), predictions.class_names(table)
    width = _WIDTH if pairs else NARROWEST
    figure, ax = blank_page(width, max(len(pairs) * _STEP_DOWN, 2 * _HEADING))
    note = "true class → predicted class; below each image the probability of the predicted one, the surest first"
    write_heading(ax, f"{title}: the most confused pairs of classes", note if pairs else "", width)
    for place, pair in enumerate(pairs):
        _write_pair(ax, place * _STEP_DOWN + 0.24, names, pair)
        _draw_images(ax, place * _STEP_DOWN + _HEADING, table.iloc[pair.rows[:COLUMNS]], read_pixels)
    if not pairs:
        ax.text(0, _HEADING, f"No mistakes on {rows_in_words(len(table))}.", size=TITLE_SIZE)
    picture_style.save(figure, path)


def _write_pair(ax: "Axes", y: float, names: Sequence[str], pair: ConfusedPair) -> None:
    """`cat → dog: 53 test rows, 5.3% of the class`, the names in the colours of right and wrong."""
    parts = [
        (picture_style.shorten(names[pair.label], TEXT_SIZE + 1, _LONGEST_NAME), RIGHT),
        (" → ", INK),
        (picture_style.shorten(names[pair.taken_for], TEXT_SIZE + 1, _LONGEST_NAME), WRONG),
        (f": {rows_in_words(pair.count)}, {pair.share:.1%} of the true class", INK),
    ]
    written = None
    for text, colour in parts:
        # Each begins where the renderer ended the one before: widths summed up would drift by its rounding.
        end, of = ((1.0, 0.0), written) if written else ((0.0, y), "data")
        written = ax.annotate(text, end, xycoords=of, color=colour, va="bottom", annotation_clip=False)
        written.set_fontsize(TEXT_SIZE + 1)


def _draw_images(
    ax: "Axes", top: float, rows: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]]
) -> None:
    confidences = predictions.probabilities(rows).max(axis=1)
    for column, (image_id, confidence) in enumerate(zip(rows["image_id"], confidences, strict=True)):
        _, height = show_image(ax, column * STEP_RIGHT, top, read_pixels(image_id))
        ax.text(column * STEP_RIGHT, top + height + 0.16, f"{confidence:.1%}", size=CAPTION_SIZE)
