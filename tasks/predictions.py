"""The predictions table: `image_id, label, probability.<class>` for each class, in label order.

Every metric, picture and comparison is computed from this table, so labels and predictions cannot fall out of step.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.files import write_whole

_PREFIX = "probability."


def make_table(
    image_ids: Sequence[str], labels: Sequence[int], probabilities: npt.NDArray[np.floating], class_names: Sequence[str]
) -> pd.DataFrame:
    """The table of one ordered pass.

    Args:
        image_ids, labels: of the rows, in the order in which they were predicted.
        probabilities: `(rows, classes)`, each row sums to 1.
        class_names: in label order.
    """
    columns = [f"{_PREFIX}{name}" for name in class_names]
    table = pd.DataFrame(probabilities.astype(np.float64), columns=columns)
    table.insert(0, "image_id", list(image_ids))
    table.insert(1, "label", np.asarray(labels, dtype=np.int64))
    return table


def class_names(table: pd.DataFrame) -> list[str]:
    """Class names in label order."""
    return [column.removeprefix(_PREFIX) for column in table.columns if column.startswith(_PREFIX)]


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
    """`(n,)` whether the most probable label is the true one."""
    hits: npt.NDArray[np.bool_] = predicted(table) == labels(table)
    return hits


def log_loss(table: pd.DataFrame) -> float:
    """Mean negative log probability of the true label, in nats; a probability of 0 counts as the smallest above it."""
    of_true = probabilities(table)[np.arange(len(table)), labels(table)]
    return float(-np.log(np.maximum(of_true, np.finfo(np.float64).eps)).mean())


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all."""
    with write_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


def read(path: Path) -> pd.DataFrame:
    """The table that `write` wrote."""
    return pd.read_parquet(path)
