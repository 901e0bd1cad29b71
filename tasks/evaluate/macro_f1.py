"""The macro-averaged F1 and its interval, from the counts of a confusion matrix."""

import numpy as np
import numpy.typing as npt

from tasks.statistics import BOOTSTRAP_SAMPLES, Interval, bootstrap_rng, exact_interval, resamples_at_once


def macro_f1_interval(counts: npt.NDArray[np.int64]) -> Interval:
    """95 % interval of the macro F1: percentile bootstrap.

    Where all or no rows are right every resample is alike; there it is the exact interval of the accuracy.

    Args:
        counts: `(classes, classes)` of `metrics.confusion_counts`, at least one row counted.
    """
    hits, total = int(np.trace(counts)), int(counts.sum())
    if hits in {0, total}:
        return exact_interval(hits, total)
    cells, rng = np.argwhere(counts), bootstrap_rng()
    # A resample of rows holds Multinomial(n, shares) of each cell: drawing those is the same bootstrap, and the order
    # of the rows cannot matter.
    shares = counts[counts > 0] / total
    size = resamples_at_once(len(cells))
    sizes = [min(size, BOOTSTRAP_SAMPLES - done) for done in range(0, BOOTSTRAP_SAMPLES, size)]
    scores = [_macro_f1(rng.multinomial(total, shares, size), cells, len(counts)) for size in sizes]
    low, high = np.quantile(np.concatenate(scores), [0.025, 0.975])
    return Interval(float(low), float(high))


def _macro_f1(counts: npt.NDArray[np.int64], cells: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Macro F1 of many confusion matrices, over the classes with rows or predictions in each.

    Args:
        counts: `(matrices, cells)` rows.
        cells: `(cells, 2)` true and predicted label.
        classes: how many.
    """
    of_true, of_predicted = np.eye(classes)[cells.T]
    rows = counts.astype(np.float64)  # for the fast product of matrices
    hits, seen = rows @ (of_true * of_predicted), rows @ (of_true + of_predicted)
    # F1 = 2 TP / (2 TP + FP + FN), which is 2 TP / (rows of the class + predictions of it).
    f1 = np.divide(2 * hits, seen, out=np.zeros_like(seen), where=seen > 0)
    return np.asarray(f1.sum(axis=1) / (seen > 0).sum(axis=1))
