"""One ordered pass of a trained model over a split."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.input_pipeline import ImageSet, ordered_batches
from tasks.progress import track

BATCH_SIZE = 256


def predict_split(model: Any, images: ImageSet, split: str, class_names: tuple[str, ...]) -> pd.DataFrame:
    """The predictions table of a split.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels.
        images: whose rows of `split` are predicted, each once, in their order.
        split: train, validation or test.
        class_names: in label order.
    """
    positions = images.positions(split)
    rows = images.rows.iloc[positions]
    batches = ordered_batches(images, split, BATCH_SIZE)
    shown = track(batches, f"predicting {split}", -(-len(positions) // BATCH_SIZE))
    probabilities = np.concatenate([_probabilities(model, pixels.numpy()) for pixels, _ in shown])
    return predictions.make_table(list(rows["image_id"]), list(rows["label"]), probabilities, class_names)


def _probabilities(model: Any, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.floating]:
    """`(batch, classes)` for `(batch, height, width, 3)` raw pixels."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(pixels))
    return np.asarray(model.predict_on_batch(pixels))
