"""How much of each class each model finds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.compare.answers import Answers
from tasks.compare.rows import Row
from tasks.compare.table import Group

MOST_CLASSES = 200


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        images: how many test images it has; at least one.
        recalls: share of them that each model has right, 0..1.
    """

    name: str
    images: int
    recalls: tuple[float, ...]


@dataclass(frozen=True)
class ClassRecalls:
    """Recall of each class by each model, the hardest class first.

    Attributes:
        models: one a column: those whose class predictions are at hand.
        classes: those with test images; at most `MOST_CLASSES`, on which the models differ most.
        left_out: how many more there are.
        low, high: the least and the greatest recall that is shown.
    """

    models: tuple[Row, ...]
    classes: tuple[ClassRow, ...]
    left_out: int
    low: float
    high: float

    def strength(self, recall: float) -> int:
        """How strongly a cell is coloured, in per cent, from the least recall to the greatest."""
        return round(100 * (recall - self.low) / (self.high - self.low)) if self.high > self.low else 100


def class_recalls(group: Group) -> ClassRecalls | None:
    """The table; None where no model's class predictions are at hand."""
    models = tuple(row for row in group.rows if row.run_id in group.answers and group.answers[row.run_id].class_names)
    if not models:
        return None
    answers = [group.answers[row.run_id] for row in models]
    names = answers[0].class_names
    images = np.bincount(answers[0].labels, minlength=len(names))
    recalls = np.stack([_recalls(one, images) for one in answers], axis=1)
    there = np.flatnonzero(images)
    shown = there[np.argsort(np.ptp(recalls[there], axis=1), kind="stable")[::-1]][:MOST_CLASSES]
    hardest_first = shown[np.lexsort((shown, recalls[shown].mean(axis=1)))]
    rows = (ClassRow(names[label], int(images[label]), tuple(recalls[label].tolist())) for label in hardest_first)
    low, high = float(recalls[shown].min()), float(recalls[shown].max())
    return ClassRecalls(models, tuple(rows), len(there) - len(shown), low, high)


def _recalls(answers: Answers, images: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """`(classes,)`; 0 of a class without images."""
    right = np.bincount(answers.labels[answers.hits], minlength=len(images))
    recalls: npt.NDArray[np.float64] = right / np.maximum(images, 1)
    return recalls
