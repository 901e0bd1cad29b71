"""The galleries of an evaluation: mistakes that the model was sure of, hits that it was not, and a random sample."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.gallery import Line, Picture, draw_gallery
from tasks.evaluate.gallery_rows import confident_mistakes, random_sample, unsure_hits
from tasks.evaluate.wording import rows_in_words
from tasks.picture_style import INK, RIGHT, WRONG

ReadPixels = Callable[[str], npt.NDArray[np.uint8]]
_MOST = 25
_TRUE_AND_PREDICTED = "true class → predicted class, its probability"


def draw_confident_mistakes(
    table: pd.DataFrame, read_pixels: ReadPixels, path: Path, title: str, most: int = _MOST
) -> None:
    """Draw the most confident wrong predictions, the surest first.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is drawn.
        path: PNG to write; without mistakes it says so.
        title: names the model.
        most: pictures drawn at most.
    """
    rows = table.iloc[confident_mistakes(table, most)]
    heading = f"{title}: the most confident mistakes"
    instead = f"No mistakes on {rows_in_words(len(table))}."
    draw_gallery(true_and_predicted(rows), read_pixels, path, heading, _TRUE_AND_PREDICTED, instead)


def draw_unsure_hits(table: pd.DataFrame, read_pixels: ReadPixels, path: Path, title: str, most: int = _MOST) -> None:
    """Draw the right predictions with the least confidence, the least sure first; arguments as above."""
    pictures = _first_and_second(table.iloc[unsure_hits(table, most)])
    note = "true class, its probability; below it the class that came second"
    instead = f"No hits on {rows_in_words(len(table))}."
    draw_gallery(pictures, read_pixels, path, f"{title}: the least confident hits", note, instead)


def draw_random_sample(table: pd.DataFrame, read_pixels: ReadPixels, path: Path, title: str, most: int = _MOST) -> None:
    """Draw rows chosen at random, framed blue where right and red where wrong; arguments as above."""
    pictures = true_and_predicted(table.iloc[random_sample(table, most)], framed=True)
    heading = f"{title}: {len(pictures):,} of {rows_in_words(len(table))}, chosen at random"
    note = f"{_TRUE_AND_PREDICTED}; blue: right, red: wrong"
    draw_gallery(pictures, read_pixels, path, heading, note, "No test rows.")


def true_and_predicted(rows: pd.DataFrame, framed: bool = False) -> list[Picture]:
    """Each row with "true →" above "predicted, its probability", the latter blue where right and red where wrong."""
    names, confidences = predictions.class_names(rows), predictions.probabilities(rows).max(axis=1)
    values = zip(rows["image_id"], predictions.labels(rows), predictions.predicted(rows), confidences, strict=True)
    pictures = []
    for image_id, label, guess, confidence in values:
        colour = RIGHT if label == guess else WRONG
        lines = Line(names[label], " →", RIGHT), Line(names[guess], f", {confidence:.1%}", colour)
        pictures.append(Picture(image_id, lines, colour if framed else None))
    return pictures


def _first_and_second(rows: pd.DataFrame) -> list[Picture]:
    """Each row with its two most probable classes."""
    names, probabilities = predictions.class_names(rows), predictions.probabilities(rows)
    best = np.argsort(-probabilities, axis=1, kind="stable")
    pictures = []
    for image_id, of_row, order in zip(rows["image_id"], probabilities, best, strict=True):
        first, second = (Line(names[label], f", {of_row[label]:.1%}", INK) for label in (order[0], order[:2][-1]))
        pictures.append(Picture(image_id, (Line(first.name, first.after, RIGHT), second)))
    return pictures
