"""ROC and precision-recall curves of each class against all others."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassCurve:
    """Both curves of one class, all values in 0..1.

    `false_positive_rate`, `true_positive_rate`: of the ROC curve, `roc_auc` the area below it. `recall`, ascending
    from 0, and the `precision` at which it is first reached, which holds back to the recall before;
    `average_precision` is the area below these steps.
    """

    name: str
    false_positive_rate: Floats
    true_positive_rate: Floats
    roc_auc: float
    recall: Floats
    precision: Floats
    average_precision: float

    def true_positive_rate_at(self, false_positive_rate: Floats) -> Floats:
        """On straight lines between the curve's points, at a jump its upper end."""
        return np.interp(false_positive_rate, self.false_positive_rate, self.true_positive_rate)

    def precision_at(self, recall: Floats) -> Floats:
        """At the first point of the curve that has this recall: a straight line between points would promise too much.

        Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006.
        """
        return self.precision[np.searchsorted(self.recall, recall, side="left")]


def class_curves(table: pd.DataFrame) -> list[ClassCurve]:
    """The curves of the classes that some rows have and some have not, in label order, by scikit-learn.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; all probabilities finite.
    """
    labels, probabilities = predictions.labels(table), predictions.probabilities(table)
    return [
        _curve(name, labels == label, probabilities[:, label])
        for label, name in enumerate(predictions.class_names(table))
        if 0 < (labels == label).sum() < len(labels)
    ]


def _curve(name: str, is_class: npt.NDArray[np.bool_], probability: Floats) -> ClassCurve:
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    false_positives, true_positives, _ = roc_curve(is_class, probability)
    precision, recall, _ = precision_recall_curve(is_class, probability)
    recall, first = np.unique(recall[::-1], return_index=True)
    precision = precision[::-1][first]
    precision[0] = precision[1]  # of recall 0 nothing is known; scikit-learn puts 1
    return ClassCurve(
        name=name,
        false_positive_rate=false_positives,
        true_positive_rate=true_positives,
        roc_auc=float(auc(false_positives, true_positives)),
        recall=recall,
        precision=precision,
        average_precision=float(average_precision_score(is_class, probability)),
    )
