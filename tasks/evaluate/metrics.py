"""Metrics of one model on the test rows, all from its predictions table."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate import ranking
from tasks.evaluate.box_metrics import box_metrics
from tasks.evaluate.calibration import calibration_error_interval, expected_calibration_error
from tasks.evaluate.macro_f1 import macro_f1_interval
from tasks.statistics import Interval, accuracy_interval, mean_interval


def test_metrics(table: pd.DataFrame) -> dict[str, float]:
    """The headline metrics, by their names in `pipeline_config/metric_names.py`, in any order of the rows the same.

    Averages of precision, recall and F1 run over the classes that have test rows or predictions, as scikit-learn's do:
    of a class with neither nothing is known. A class with only one of the two counts as 0 where the other would divide.
    Those of ROC AUC and average precision, one class against the rest, run over the classes that have test rows and do
    not have all of them; without such a class they are left out.

    Args:
        table: of `tasks/predictions.py`, `n` rows.

    Returns:
        Of a model with a box head those of `box_metrics`. Of one with a class head, in 0..1 where nothing else is said:
        `test_accuracy`; `test_loss` in nats; `test_macro_…` and `test_weighted_…` (by support) `precision`, `recall`
        and `f1`; `test_worst_class_recall`, of the classes that have test rows; `test_roc_auc` and
        `test_average_precision`, macro averages; `test_ece`, the expected calibration error; `test_brier`, 0..2; with
        more than five classes `test_top5_accuracy`. The ends of the 95 % intervals of `test_accuracy`, `test_loss`,
        `test_macro_f1`, `test_roc_auc`, `test_ece` and `test_brier` are named `…_low` and `…_high`; of a single row
        those of means are NaN. Where a probability is NaN, so is what is computed from it.

    Raises:
        ValueError: the table has no rows.
    """
    if table.empty:
        raise ValueError("The predictions table has no rows: a model is evaluated on at least one test row; received 0")
    ordered = table.sort_values("image_id", kind="stable")  # what is resampled are the first, second, … rows
    of_classes = _class_metrics(ordered) if predictions.has_classes(ordered) else {}
    of_boxes = box_metrics(ordered) if predictions.has_boxes(ordered) else {}
    return {**of_classes, **of_boxes}


def _class_metrics(table: pd.DataFrame) -> dict[str, float]:
    correct, losses, brier = predictions.correct(table), predictions.log_losses(table), _brier_scores(table)
    metrics = {
        **_with_interval("test_accuracy", correct.mean(), accuracy_interval(correct)),
        **_with_interval("test_loss", losses.mean(), mean_interval(losses)),
        **_f1_metrics(table),
        "test_worst_class_recall": _worst_class_recall(table),
        **_ranking_metrics(table),
        **_with_interval("test_ece", expected_calibration_error(table), calibration_error_interval(table)),
        **_with_interval("test_brier", brier.mean(), mean_interval(brier)),
    }
    if len(predictions.class_names(table)) > 5:
        metrics["test_top5_accuracy"] = _top_accuracy(table, 5)
    return metrics


def _with_interval(name: str, value: float, interval: Interval) -> dict[str, float]:
    return {name: float(value), f"{name}_low": interval.low, f"{name}_high": interval.high}


def _f1_metrics(table: pd.DataFrame) -> dict[str, float]:
    interval = macro_f1_interval(confusion_counts(table))
    metrics = {"test_macro_f1_low": interval.low, "test_macro_f1_high": interval.high}
    for average in ("macro", "weighted"):
        names = [f"test_{average}_{name}" for name in ("precision", "recall", "f1")]
        metrics |= dict(zip(names, _averages(table, average), strict=True))
    return metrics


def _worst_class_recall(table: pd.DataFrame) -> float:
    hits = pd.Series(predictions.correct(table)).groupby(predictions.labels(table)).mean()
    return float(hits.min())


def _ranking_metrics(table: pd.DataFrame) -> dict[str, float]:
    ranked = ranking.ranked_classes(table)
    if not len(ranked):
        return {}
    return {
        **_with_interval("test_roc_auc", ranking.roc_auc(table)[ranked].mean(), ranking.macro_auc_interval(table)),
        "test_average_precision": float(ranking.average_precision(table)[ranked].mean()),
    }


def classification_report(table: pd.DataFrame) -> pd.DataFrame:
    """One row a class in label order.

    Columns are `precision`, `recall`, `f1`, `roc_auc`, `average_precision` (0..1; the last two NaN where the class has
    no test rows or all of them) and `support` (test rows).

    Then come `macro average` and `weighted average` (by support), and `accuracy`, which stands in the column `f1` as
    in scikit-learn's report, with NaN beside it.
    """
    from sklearn.metrics import precision_recall_fscore_support

    names = predictions.class_names(table)
    *scores, support = precision_recall_fscore_support(
        predictions.labels(table), predictions.predicted(table), labels=np.arange(len(names)), zero_division=0
    )
    of_classes = np.column_stack([*scores, ranking.roc_auc(table), ranking.average_precision(table)])
    report = pd.DataFrame(
        np.vstack([of_classes, _closing_scores(table, of_classes[:, 3:], support)]),
        columns=["precision", "recall", "f1", "roc_auc", "average_precision"],
        index=pd.Index([*names, "macro average", "weighted average", "accuracy"], name="class"),
    )
    report["support"] = np.append(support, [len(table)] * 3).astype(np.int64)
    return report


def _closing_scores(
    table: pd.DataFrame, rankings: npt.NDArray[np.float64], support: npt.NDArray[np.int64]
) -> list[list[float]]:
    """The report's last three rows; `rankings`: `(classes, 2)` ROC AUC and average precision."""
    ranked = ranking.ranked_classes(table)
    if len(ranked):
        alike, by_support = (np.average(rankings[ranked], axis=0, weights=w) for w in (None, support[ranked]))
    else:
        alike = by_support = np.full(2, np.nan)
    accuracy = float(predictions.correct(table).mean())
    return [
        [*_averages(table, "macro"), *alike],
        [*_averages(table, "weighted"), *by_support],
        [np.nan, np.nan, accuracy, np.nan, np.nan],
    ]


def confusion_counts(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """`(classes, classes)` counts of test rows: row = true label, column = predicted label."""
    from sklearn.metrics import confusion_matrix

    every_label = np.arange(len(predictions.class_names(table)))
    counts = confusion_matrix(predictions.labels(table), predictions.predicted(table), labels=every_label)
    return np.asarray(counts, dtype=np.int64)


def _averages(table: pd.DataFrame, average: str) -> tuple[float, float, float]:
    """Precision, recall and F1 averaged over classes: `macro` (alike) or `weighted` (by support)."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(
        predictions.labels(table), predictions.predicted(table), average=average, zero_division=0
    )
    return float(precision), float(recall), float(f1)


def _brier_scores(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n,)` sum over the classes of (probability - whether it is the true one)², 0..2.

    As Brier defined it (Verification of forecasts expressed in terms of probability, 1950); with two classes it is
    twice what is called by his name in scikit-learn's `brier_score_loss`.
    """
    true = np.eye(len(predictions.class_names(table)))[predictions.labels(table)]
    errors = predictions.probabilities(table) - true
    return np.asarray((errors**2).sum(axis=1))


def _top_accuracy(table: pd.DataFrame, k: int) -> float:
    """Share of rows whose true class is among the `k` most probable.

    Among equals the lower label goes first, as in `predictions.predicted`, so that this is never below the accuracy.
    (scikit-learn's `top_k_accuracy_score` lets the higher label go first; without equals the two agree.)
    """
    probabilities, labels = predictions.probabilities(table), predictions.labels(table)[:, None]
    of_true = np.take_along_axis(probabilities, labels, axis=1)
    earlier_equal = (probabilities == of_true) & (np.arange(probabilities.shape[1]) < labels)
    ahead = ((probabilities > of_true) | earlier_equal).sum(axis=1)
    return float((ahead < k).mean())
