"""The images from outside the data set with what a model takes them for, the wrong ones first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.galleries import true_and_predicted
from tasks.evaluate.gallery import draw_gallery

_COLUMNS = 6  # so that 36 fill a square


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
    pictures = true_and_predicted(table.iloc[wrong_first(table, most)], framed=True)
    draw_gallery(pictures, read_pixels, path, title, _note(len(pictures), len(table)), "No images.", _COLUMNS)


def wrong_first(table: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """Positions of at most `most` rows: the wrong ones, the surest first, then the right ones, the least sure first.

    Equals stand by image id, whatever the order of the rows.
    """
    correct, confidence = predictions.correct(table), predictions.probabilities(table).max(axis=1)
    keys = (table["image_id"].to_numpy(str), np.where(correct, confidence, -confidence), correct)
    return np.lexsort(keys)[:most]


def _note(shown: int, rows: int) -> str:
    part = f"; {shown:,} of {rows:,} shown, wrong ones first" if shown < rows else ""
    return f"true class → predicted class, its probability; blue: right, red: wrong{part}"
