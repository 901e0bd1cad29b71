"""What each model says of the same test rows, short enough to hold those of many models at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks import predictions


@dataclass(frozen=True)
class Answers:
    """One model's answers, in the order of the image ids, in which those of all models stand row beside row.

    Attributes:
        image_ids: `(n,)` str.
        labels: `(n,)` int64, true.
        class_names: in label order; empty of a model of boxes alone.
        predicted: `(n,)` int64 labels; None of boxes alone.
        losses: `(n,)` float64, -ln(probability of the true class) in nats; None of boxes alone.
        ious: `(n,)` float64 in 0..1; None of a model without box head.
    """

    image_ids: npt.NDArray[np.object_]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...] = ()
    predicted: npt.NDArray[np.int64] | None = None
    losses: npt.NDArray[np.float64] | None = None
    ious: npt.NDArray[np.float64] | None = None

    @property
    def hits(self) -> npt.NDArray[np.bool_] | None:
        """`(n,)` whether each class is right; None of boxes alone."""
        return None if self.predicted is None else self.predicted == self.labels


AnswersByRun = Mapping[str, Answers]
"""Run id -> answers, of the runs whose predictions are at hand."""


def read_answers(path: Path) -> Answers:
    """The answers in a predictions table."""
    table = predictions.read(path).sort_values(["image_id", "label"], kind="stable")
    has_classes = predictions.has_classes(table)
    return Answers(
        image_ids=table["image_id"].to_numpy(object),
        labels=predictions.labels(table),
        class_names=tuple(predictions.class_names(table)),
        predicted=predictions.predicted(table) if has_classes else None,
        losses=predictions.log_losses(table) if has_classes else None,
        ious=predictions.ious(table) if predictions.has_boxes(table) else None,
    )
