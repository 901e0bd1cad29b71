"""One sentence and one word for how a training of boxes alone went, where there is no accuracy to judge by."""

import math

from tasks.train.diagnosis import Diagnosis, History

GAP = 0.1
"""Training above validation IoU: as for accuracies in `diagnosis.py`."""
LOW_IOU = 0.5
"""Below it not even the boxes of the training images are found."""


def diagnose_boxes(history: History, chosen_epoch: int) -> Diagnosis:
    """Judge the weights that were kept: `diverged`, `overfitting`, `underfitting` or `good`.

    Args:
        history: one value an epoch under `train_loss`, `val_loss`, `train_mean_iou` and `val_mean_iou`.
        chosen_epoch: whose weights were kept; epochs count from 1.
    """
    for name in ("train_loss", "val_loss"):
        if not all(map(math.isfinite, history[name])):
            return Diagnosis("diverged", f"Diverged: {name} is no number; a lower learning rate is the usual mend.")
    train, validation = (history[f"{series}_mean_iou"][chosen_epoch - 1] for series in ("train", "val"))
    told = f"the mean IoU is {train:.3f} on training and {validation:.3f} on validation images"
    if train - validation > GAP:
        return Diagnosis("overfitting", f"Overfitting: {told}; more images or dropout would narrow the gap.")
    if max(train, validation) < LOW_IOU:
        return Diagnosis("underfitting", f"Underfitting: {told}; a larger model or more epochs may help.")
    return Diagnosis("good", f"Good: {told}.")
