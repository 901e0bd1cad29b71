"""How well each class's probability ranks its rows above all others, one against rest, from a predictions table."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.statistics import Interval, exact_interval

_HALF_WIDTH = 1.959963984540054  # 97.5 % of the standard normal distribution lie below


def ranked_classes(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Labels that can be ranked, ascending: those with rows of the class and rows of others."""
    rows = np.bincount(predictions.labels(table), minlength=len(predictions.class_names(table)))
    return np.flatnonzero((rows > 0) & (rows < len(table)))


def roc_auc(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(classes,)` area under each class's ROC curve, in 0..1; NaN where it cannot be ranked or a probability is NaN.

    It is the probability that a row of the class has a higher probability of it than a row of another, equals counting
    half (Hanley & McNeil, The meaning and use of the area under a ROC curve, 1982).
    """
    areas = np.full(len(predictions.class_names(table)), np.nan)
    for label, positive, scores in _one_against_rest(table):
        areas[label] = _placements(scores, positive)[positive].mean()
    return areas


def average_precision(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(classes,)` average precision of each class, in 0..1, as scikit-learn has it: precisions averaged over recall.

    NaN where a class cannot be ranked or a probability is NaN.
    """
    from sklearn.metrics import average_precision_score

    averages = np.full(len(predictions.class_names(table)), np.nan)
    for label, positive, scores in _one_against_rest(table):
        if not np.isnan(scores).any():
            averages[label] = average_precision_score(positive, scores)
    return averages


def macro_auc_interval(table: pd.DataFrame) -> Interval:
    """95 % interval of the mean ROC AUC over the classes that can be ranked.

    Normal approximation with the variance of the rows' influences, which is that of DeLong et al. (Comparing the areas
    under two or more correlated ROC curves, 1988) for a mean over classes, on the scale of ln(A / (1 - A)), which
    keeps it within 0..1 (Pepe, The Statistical Evaluation of Medical Tests, 2003, ch. 5). A bootstrap, which the other
    metrics have, would sort all rows anew for each class and resample.

    Where all classes are ranked perfectly, or all in reverse, there is no variance: see `_without_variance`.

    Args:
        table: of `tasks/predictions.py`, with at least one class that can be ranked.
    """
    influence, area = _mean_influence(table)
    if area in {0.0, 1.0}:
        return _without_variance(area, table)
    deviation = float(np.sqrt((influence**2).sum() / (len(table) * (len(table) - 1))))
    centre, half = np.log(area / (1 - area)), _HALF_WIDTH * deviation / (area * (1 - area))
    low, high = 1 / (1 + np.exp(np.clip([half - centre, -half - centre], -500, 500)))
    return Interval(float(low), float(high))


def _mean_influence(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64], float]:
    """`(n,)` change of the mean AUC with the weight of each row, times n; and the mean AUC."""
    total, areas = np.zeros(len(table)), []
    for _, positive, scores in _one_against_rest(table):
        placements = _placements(scores, positive)
        areas.append(placements[positive].mean())
        share = positive.mean()
        total += (placements - areas[-1]) / np.where(positive, share, 1 - share)
    return total / len(areas), float(np.mean(areas))


def _without_variance(area: float, table: pd.DataFrame) -> Interval:
    """The interval at the end of the scale: the exact one of as many trials as would have shown an error.

    A row that is out of place among all others costs the mean AUC about 1 / (rows of its class x other classes) or
    less, by the rarest class; of so many such rows none was seen. With two classes these are disjoint pairs of a row
    of each, and the interval is exact.
    """
    rows = np.bincount(predictions.labels(table))
    present = rows[rows > 0]
    trials = int(present.min() * (len(present) - 1))
    return exact_interval(trials if area else 0, trials)


def _one_against_rest(
    table: pd.DataFrame,
) -> Iterator[tuple[int, npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
    """Of each class that can be ranked: label; `(n,)` whether a row is of it; `(n,)` the class's probabilities."""
    labels, columns = predictions.labels(table), np.ascontiguousarray(predictions.probabilities(table).T)
    for label in ranked_classes(table):
        yield int(label), labels == label, columns[label]


def _placements(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """`(n,)` share of the rows of the other kind on whose right side each row stands; an equal one counts half.

    All NaN where a score is.
    """
    if np.isnan(scores).any():
        return np.full(len(scores), np.nan)
    placements = np.empty(len(scores))
    placements[positive] = _share_below(scores[positive], np.sort(scores[~positive]))
    placements[~positive] = 1 - _share_below(scores[~positive], np.sort(scores[positive]))
    return placements


def _share_below(scores: npt.NDArray[np.float64], ordered: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`(k,)` share of the ordered scores that lie below each of the `(k,)` scores; equals count half."""
    below, not_above = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return np.asarray((below + not_above) / (2 * len(ordered)))
