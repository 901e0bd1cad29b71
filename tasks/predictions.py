"""The predictions table, one row an image: what is true, and what a model says.

    image_id                                            str
    label                                               int64, true
    probability.<class>, for each class in label order  float64; none where the model has no class head
    box_x box_y box_width box_height                    float64, true, fractions of the image; only of a model with a
    predicted_box_x … predicted_box_height              box head, as these

Every metric, picture and comparison is computed from this table, so labels and predictions cannot fall out of step.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.boxes import GOOD_IOU, iou
from tasks.files import write_whole
from tasks.manifest import BOX_COLUMNS

# Keras clips at the same value (keras.config.epsilon()), so that train_loss, val_loss and test_loss compare.
_SMALLEST_PROBABILITY = 1e-7
_PREFIX = "probability."
_PREDICTED = "predicted_"
_PREDICTED_BOX_COLUMNS = tuple(f"{_PREDICTED}{name}" for name in BOX_COLUMNS)


def make_table(
    image_ids: Sequence[str],
    labels: Sequence[int],
    probabilities: npt.NDArray[np.floating] | None,
    class_names: Sequence[str],
    boxes: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | None = None,
) -> pd.DataFrame:
    """The table of one ordered pass.

    Args:
        image_ids, labels: of the rows, in the order in which they were predicted.
        probabilities: `(rows, classes)`, each row sums to 1; None of a model without class head.
        class_names: in label order.
        boxes: the true and the predicted ones, each `(rows, 4)` in fractions; None of a model without box head.
    """
    columns: dict[str, npt.NDArray[np.floating]] = {}
    if probabilities is not None:
        columns |= {f"{_PREFIX}{name}": of_class for name, of_class in zip(class_names, probabilities.T, strict=True)}
    if boxes is not None:
        names = (BOX_COLUMNS, _PREDICTED_BOX_COLUMNS)
        for of_kind, values in zip(names, boxes, strict=True):
            columns |= dict(zip(of_kind, values.T, strict=True))
    table = pd.DataFrame(columns, index=range(len(image_ids)), dtype=np.float64)
    table.insert(0, "image_id", list(image_ids))
    table.insert(1, "label", np.asarray(labels, dtype=np.int64))
    return table


def class_names(table: pd.DataFrame) -> list[str]:
    """Class names in label order; empty of a model without class head."""
    return [column.removeprefix(_PREFIX) for column in table.columns if column.startswith(_PREFIX)]


def in_class_order(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The table of a model that has the same classes in another order; its labels count in the order that is asked for.

    Args:
        table: of the model.
        names: its classes, in the order of the labels.
    """
    columns = [f"{_PREFIX}{name}" for name in names] if has_classes(table) else []
    others = [column for column in table.columns if not column.startswith(_PREFIX)]
    return table[[*others[:2], *columns, *others[2:]]]


def has_classes(table: pd.DataFrame) -> bool:
    """Whether the model has a class head."""
    return bool(class_names(table))


def has_boxes(table: pd.DataFrame) -> bool:
    """Whether the model has a box head."""
    return set(_PREDICTED_BOX_COLUMNS) <= set(table.columns)


def labels(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """`(n,)` true labels."""
    return table["label"].to_numpy(np.int64)


def probabilities(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n, classes)`."""
    return table[[f"{_PREFIX}{name}" for name in class_names(table)]].to_numpy(np.float64)


def predicted(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """`(n,)` most probable labels."""
    best: npt.NDArray[np.int64] = probabilities(table).argmax(axis=1)
    return best


def correct(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """`(n,)` whether the most probable label is the true one; of a model without class head, whether its box is."""
    if not has_classes(table):
        return found(table)
    hits: npt.NDArray[np.bool_] = predicted(table) == labels(table)
    return hits


def true_boxes(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n, 4)` in fractions of the image."""
    return table[list(BOX_COLUMNS)].to_numpy(np.float64)


def predicted_boxes(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n, 4)` in fractions of the image."""
    return table[list(_PREDICTED_BOX_COLUMNS)].to_numpy(np.float64)


def ious(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n,)` intersection over union of true and predicted box, in 0..1."""
    shared: npt.NDArray[np.float64] = iou(true_boxes(table), predicted_boxes(table))
    return shared


def found(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """`(n,)` whether the IoU is at least `GOOD_IOU`, 0.5."""
    good: npt.NDArray[np.bool_] = ious(table) >= GOOD_IOU
    return good


def log_losses(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n,)` -ln(probability of the true label), in nats; NaN where that is."""
    of_true = probabilities(table)[np.arange(len(table)), labels(table)]
    losses: npt.NDArray[np.float64] = 0.0 - np.log(np.maximum(of_true, _SMALLEST_PROBABILITY))  # not -0.0
    return losses


def log_loss(table: pd.DataFrame) -> float:
    """Mean of `log_losses`."""
    return float(log_losses(table).mean())


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all."""
    with write_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


def read(path: Path) -> pd.DataFrame:
    """The table that `write` wrote."""
    return pd.read_parquet(path)


def is_readable(path: Path) -> bool:
    """Whether the file is there and whole."""
    try:
        return not read(path).empty
    except (OSError, ValueError):  # pyarrow's errors are ValueErrors
        return False
