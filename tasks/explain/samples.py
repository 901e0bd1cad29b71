"""The test images on which a model is explained, chosen from its predictions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline_config.errors import DataError
from tasks import predictions
from tasks.image_id import image_id
from tasks.images import Pixels
from tasks.input_pipeline import resize

ReadPixels = Callable[[str], Pixels]


@dataclass(frozen=True)
class Sample:
    """A test image and what the model says of it.

    Attributes:
        pixels: `(height, width, 3)` uint8 RGB in the size in which the model was trained.
        right: whether it is predicted right.
        true, predicted: class names; empty of a model of boxes alone.
        how_sure: the predicted class's probability as `93.2%`, or the IoU.
        label: predicted; 0 of a model of boxes alone.
    """

    pixels: Pixels
    right: bool
    true: str
    predicted: str
    how_sure: str
    label: int

    @property
    def words(self) -> str:
        """`true cat → predicted dog, 93.2%`."""
        classes = f"true {self.true} → predicted {self.predicted}, " if self.true else ""
        return classes + self.how_sure


def read_samples(
    table: pd.DataFrame, read_pixels: ReadPixels, size: tuple[int, int], right: bool, most: int
) -> list[Sample]:
    """The images that the model is surest of, among those that it predicts right, or wrong; fewer where there are none.

    Args:
        table: of `tasks/predictions.py`.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is chosen.
        size: height and width that they are resized to.
        right: which of the two.
        most: at most so many.

    Raises:
        DataError: an image is gone, or has other pixels than when the model was trained.
    """
    rows = table.iloc[surest(table, right, most)]
    return [_sample(rows.iloc[[place]], read_pixels, size, right) for place in range(len(rows))]


def surest(table: pd.DataFrame, right: bool, most: int) -> npt.NDArray[np.int64]:
    """`(at most `most`,)` positions, the surest first; equals by image id, whatever the order of the rows is.

    How sure a model of boxes alone is cannot be known: with it, the best of its good boxes and the worst of the others.
    """
    chosen = np.flatnonzero(predictions.correct(table) == right)
    if predictions.has_classes(table):
        sureness = predictions.probabilities(table).max(axis=1)
    else:
        sureness = predictions.ious(table) * (1 if right else -1)
    ids = table["image_id"].to_numpy(str)[chosen]
    return chosen[np.lexsort((ids, -sureness[chosen]))][:most]


def _sample(row: pd.DataFrame, read_pixels: ReadPixels, size: tuple[int, int], right: bool) -> Sample:
    pixels = resize(_read(str(row["image_id"].iloc[0]), read_pixels), size)
    if not predictions.has_classes(row):
        return Sample(pixels, right, "", "", f"IoU {predictions.ious(row)[0]:.2f}", 0)
    names, label = predictions.class_names(row), int(predictions.predicted(row)[0])
    how_sure = f"{predictions.probabilities(row).max():.1%}"
    return Sample(pixels, right, names[int(predictions.labels(row)[0])], names[label], how_sure, label)


def _read(expected: str, read_pixels: ReadPixels) -> Pixels:
    mend = "put the image back as it was, or train on the present ones with `darkroom run`"
    try:
        pixels = read_pixels(expected)
    except (OSError, IndexError) as error:
        raise DataError(f"test image {expected[:12]} cannot be read: {error}; {mend}") from None
    if image_id(pixels) != expected:
        raise DataError(f"test image {expected[:12]} has other pixels than when the model was trained; {mend}")
    return pixels
