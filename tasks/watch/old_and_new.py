"""The statistics of old and of new images that are tested for drift."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_heads
from tasks.tracking import ServedModel
from tasks.watch.differences import Differences
from tasks.watch.drift import Values
from tasks.watch.pixel_statistics import contrast, saturation

_OF_MANIFEST = ("brightness", "width", "height")
MOST_IMAGES = 1_000
"""Images of either kind whose pixels are looked at; a distance of 0.09 between so many is beyond chance."""
_BATCH = 64


def from_manifests(before: pd.DataFrame, found: Differences) -> dict[str, tuple[Values, Values]]:
    """Statistics that the manifests hold: of all old images that may be used, and of the added ones."""
    return {name: (_floats(before[name]), _floats(found.added[name])) for name in _OF_MANIFEST}


def _floats(column: pd.Series) -> Values:
    return np.asarray(column.astype("float64"), dtype=np.float64)


def from_pixels(images: ImageSet, found: Differences) -> dict[str, tuple[Values, Values]]:
    """Statistics of the pixels as models see them: of images that stayed, and of added ones.

    Args:
        images: of now.
        found: the added ones among them.
    """
    is_new = images.rows["image_id"].isin(found.added.index).to_numpy()
    old, new = (_sample(np.flatnonzero(chosen)) for chosen in (~is_new, is_new))
    measured = [_measure(images, positions) for positions in (old, new)]
    return {name: (measured[0][name], measured[1][name]) for name in ("contrast", "saturation")}


def _measure(images: ImageSet, positions: npt.NDArray[np.int64]) -> dict[str, Values]:
    parts = [images.read(positions[start : start + _BATCH]) for start in range(0, len(positions), _BATCH)]
    measures = {"contrast": contrast, "saturation": saturation}
    return {
        name: np.concatenate([np.empty(0), *(measure(pixels) for pixels in parts)])
        for name, measure in measures.items()
    }


def _sample(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All, or so many of them, spread evenly."""
    if len(positions) <= MOST_IMAGES:
        return positions
    return positions[np.linspace(0, len(positions) - 1, MOST_IMAGES).round().astype(np.int64)]


def confidences(
    model: ServedModel, tested: pd.DataFrame, images: ImageSet, found: Differences
) -> tuple[Values, Values]:
    """Probability of the most probable class: of the images that the model was tested on, and of the added ones.

    Those that it was trained on would be no measure, since it knows them.

    Args:
        model: that takes images of the size of `images`, and has a class head.
        tested: its predictions table.
        images: of now.
        found: the added ones among them.
    """
    new = _sample(np.flatnonzero(images.rows["image_id"].isin(found.added.index).to_numpy()))
    parts = [images.read(new[start : start + _BATCH]) for start in range(0, len(new), _BATCH)]
    answers = [predict_heads(model.model, pixels)["probabilities"].max(axis=1) for pixels in parts]
    return predictions.probabilities(tested).max(axis=1), np.concatenate([np.empty(0), *answers]).astype(np.float64)
