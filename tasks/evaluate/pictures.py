"""The pictures of a model with a class head, each in its file, all from one predictions table."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.curves_picture import draw_class_curves
from tasks.evaluate.galleries import draw_confident_mistakes, draw_random_sample, draw_unsure_hits
from tasks.evaluate.gallery import thumbnail
from tasks.evaluate.label_errors import draw_label_errors, find_label_errors, write_label_errors
from tasks.evaluate.most_confused import draw_most_confused
from tasks.evaluate.reliability_diagram import draw_calibration


def draw_pictures(
    table: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]], folder: Path, title: str
) -> None:
    """Write curves, calibration, galleries and label-error candidates into the folder.

    An image that several galleries show is decoded once. What is computed from probabilities leaves out rows of which
    one is no number; the galleries show them as the model gave them.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; at least one row.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`.
        folder: for the files.
        title: names the model.
    """
    read = lru_cache(maxsize=None)(lambda image_id: thumbnail(read_pixels(image_id)))
    draw_confident_mistakes(table, read, folder / "confident_mistakes.png", title)
    draw_unsure_hits(table, read, folder / "unsure_hits.png", title)
    draw_random_sample(table, read, folder / "random_sample.png", title)
    draw_most_confused(table, read, folder / "most_confused.png", title)
    finite = table.iloc[np.flatnonzero(np.isfinite(predictions.probabilities(table)).all(axis=1))]
    draw_class_curves(finite, folder / "class_curves.png", title)
    draw_calibration(finite, folder / "calibration.png", title)
    candidates = find_label_errors(finite)
    write_label_errors(candidates, folder / "label_errors.csv")
    draw_label_errors(candidates, len(finite), read, folder / "label_errors.png", title)
