"""Metrics of one model on the test rows, all from its predictions table."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.box_metrics import box_metrics
from tasks.statistics import accuracy_interval

# Keras clips at the same value (keras.config.epsilon()), so that train_loss, val_loss and test_loss compare.
_SMALLEST_PROBABILITY = 1e-7


def test_metrics(table: pd.DataFrame) -> dict[str, float]:
    """The headline metrics, by their names in `pipeline_config/metric_names.py`.

    Macro averages run over the classes that have test rows or predictions, as scikit-learn's do: of a class with
    neither nothing is known. A class with only one of the two counts as 0 where the other would divide.

    Args:
        table: of `tasks/predictions.py`, `n` rows.

    Returns:
        Of a model with a box head those of `box_metrics`. Of one with a class head `test_accuracy` and the ends of its
        95 % interval, `test_macro_precision`, `test_macro_recall` and `test_macro_f1` in 0..1; `test_loss` in nats;
        with more than five classes `test_top5_accuracy` in 0..1.

    Raises:
        ValueError: the table has no rows.
    """
    if table.empty:
        raise ValueError("The predictions table has no rows: a model is evaluated on at least one test row; received 0")
    of_classes = _class_metrics(table) if predictions.has_classes(table) else {}
    of_boxes = box_metrics(table) if predictions.has_boxes(table) else {}
    return {**of_classes, **of_boxes}


def _class_metrics(table: pd.DataFrame) -> dict[str, float]:
    correct = predictions.correct(table)
    interval = accuracy_interval(correct)
    precision, recall, f1 = _averages(table, "macro")
    metrics = {
        "test_accuracy": float(correct.mean()),
        "test_accuracy_low": interval.low,
        "test_accuracy_high": interval.high,
        "test_loss": _log_loss(table),
        "test_macro_precision": precision,
        "test_macro_recall": recall,
        "test_macro_f1": f1,
    }
    if len(predictions.class_names(table)) > 5:
        metrics["test_top5_accuracy"] = _top_accuracy(table, 5)
    return metrics


def classification_report(table: pd.DataFrame) -> pd.DataFrame:
    """Columns `precision`, `recall`, `f1` (0..1) and `support` (test rows), one row a class in label order.

    Then come `macro average` and `weighted average` (by support), and `accuracy`, which stands in the column `f1` as
    in scikit-learn's report, with NaN before it.
    """
    from sklearn.metrics import precision_recall_fscore_support

    names = predictions.class_names(table)
    columns = precision_recall_fscore_support(
        predictions.labels(table), predictions.predicted(table), labels=np.arange(len(names)), zero_division=0
    )
    accuracy = float(predictions.correct(table).mean())
    closing = [_averages(table, "macro"), _averages(table, "weighted"), (np.nan, np.nan, accuracy)]
    scores = np.vstack([np.column_stack(columns[:3]), closing])
    index = pd.Index([*names, "macro average", "weighted average", "accuracy"], name="class")
    report = pd.DataFrame(scores, columns=["precision", "recall", "f1"], index=index)
    report["support"] = np.append(columns[3], [len(table)] * len(closing)).astype(np.int64)
    return report


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


def _log_loss(table: pd.DataFrame) -> float:
    """Mean of -ln(probability of the true class), in nats; NaN where a probability is."""
    of_true = predictions.probabilities(table)[np.arange(len(table)), predictions.labels(table)]
    return float(0.0 - np.log(np.maximum(of_true, _SMALLEST_PROBABILITY)).mean())  # not -0.0


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
