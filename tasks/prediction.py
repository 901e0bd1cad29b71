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
    answers = [predict_heads(model, pixels.numpy()) for pixels, _ in shown]
    heads = {head: np.concatenate([answer[head] for answer in answers]) for head in answers[0]}
    boxes = (images.boxes[positions], heads["box"]) if "box" in heads else None
    ids, labels = list(rows["image_id"]), list(rows["label"])
    return predictions.make_table(ids, labels, heads.get("probabilities"), class_names, boxes)


def predict_heads(model: Any, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.floating]]:
    """What each head of a model answers to `(batch, height, width, 3)` raw pixels.

    Returns:
        `probabilities` `(batch, classes)` and `box` `(batch, 4)` in fractions of the image, or one of them.
    """
    if hasattr(model, "predict_proba"):
        return {"probabilities": np.asarray(model.predict_proba(pixels))}
    answer = model.predict_on_batch(pixels)
    heads = answer if isinstance(answer, dict) else {"probabilities": answer}
    return {head: np.asarray(values) for head, values in heads.items()}
