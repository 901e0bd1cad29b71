"""How far a model's confidence can be believed, from its predictions table."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.statistics import BOOTSTRAP_SAMPLES, Interval, bootstrap_rng, resamples_at_once

BINS = 15  # as in Guo et al., On Calibration of Modern Neural Networks, 2017
_EDGES = np.linspace(0, 1, BINS + 1)


@dataclass(frozen=True)
class Bins:
    """Rows parted by their confidence, the probability of the predicted class, into bins of equal width.

    Attributes:
        low, high: `(15,)` float64, the bins' ends in 0..1; a confidence equal to an end belongs to the bin below.
        confidence: `(15,)` float64, mean confidence in 0..1; NaN where the bin is empty.
        accuracy: `(15,)` float64, share of right predictions in 0..1; NaN where the bin is empty.
        count: `(15,)` int64, rows.
    """

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]


def reliability_bins(table: pd.DataFrame) -> Bins:
    """The reliability diagram as numbers (Guo et al. 2017).

    Args:
        table: of `tasks/predictions.py`, of a model with a class head.
    """
    confidence = _confidences(table)
    bins = _bin_numbers(confidence)
    count = np.bincount(bins, minlength=BINS).astype(np.int64)
    rows = np.where(count > 0, count, np.nan)
    return Bins(
        low=_EDGES[:-1],
        high=_EDGES[1:],
        confidence=np.bincount(bins, confidence, minlength=BINS) / rows,
        accuracy=np.bincount(bins, predictions.correct(table), minlength=BINS) / rows,
        count=count,
    )


def expected_calibration_error(table: pd.DataFrame) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by their rows, in 0..1 (Guo et al. 2017).

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; at least one row.

    Returns:
        NaN where a probability is NaN.
    """
    return float(np.abs(_gaps(*_distances(table))).sum())


def calibration_error_interval(table: pd.DataFrame) -> Interval:
    """95 % interval of the expected calibration error that the model has on all images of the kind.

    Chance pushes the confidence and accuracy of a bin apart and never together, so the error on few rows is too high,
    and on resamples of them higher still: the percentile interval never holds the 0 of a calibrated model. Hence the
    low end is reflected (the basic bootstrap; Davison & Hinkley, Bootstrap Methods and their Application, 1997,
    ch. 5), and it is 0 where the error is no larger than 95 % of the changes that resampling makes to the bins, which
    is how large it is by chance alone. The high end is the percentile bootstrap's.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head, rows in a fixed order.

    Returns:
        NaN to both sides for a single row, and where a probability is NaN.
    """
    distances, bins = _distances(table)
    gaps = _gaps(distances, bins)
    if len(table) < 2 or np.isnan(gaps).any():
        return Interval(float("nan"), float("nan"))
    resampled = _resampled_gaps(distances, bins)
    error, by_chance = np.abs(gaps).sum(), np.quantile(np.abs(resampled - gaps[:, None]).sum(axis=0), 0.95)
    high = float(np.quantile(np.abs(resampled).sum(axis=0), 0.975))
    low = 0.0 if error <= by_chance else max(float(2 * error - high), 0.0)
    return Interval(low, high)


def _resampled_gaps(distances: npt.NDArray[np.float64], bins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """`(15, resamples)`: `_gaps` of bootstrap resamples of the rows."""
    from scipy import stats

    resampled = stats.bootstrap(
        (distances, bins),
        _gaps,
        paired=True,
        vectorized=True,
        n_resamples=BOOTSTRAP_SAMPLES,
        batch=resamples_at_once(len(bins)),
        method="percentile",
        rng=bootstrap_rng(),
    )
    return np.asarray(resampled.bootstrap_distribution)


def _gaps(distances: npt.NDArray[np.float64], bins: npt.NDArray[np.int64], axis: int = -1) -> npt.NDArray[np.float64]:
    """Confidence less accuracy of each bin, times its share of the rows.

    Args:
        distances, bins: `(…, n)`, as of `_distances`.
        axis: the last; `scipy.stats.bootstrap` names it.

    Returns:
        `(15, …)`.
    """
    kept, rows = distances.shape[:-1], distances.shape[axis]
    samples = distances.size // rows
    # All samples are summed at once, each with fifteen bins of its own.
    apart = bins.reshape(samples, rows) + BINS * np.arange(samples)[:, None]
    sums = np.bincount(apart.ravel(), distances.ravel(), minlength=BINS * samples)
    return np.asarray(np.moveaxis(sums.reshape(*kept, BINS), -1, 0) / rows)


def _distances(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """`(n,)` confidence less 1 of a right row and less 0 of a wrong one; `(n,)` bin of the confidence."""
    confidence = _confidences(table)
    return confidence - predictions.correct(table), _bin_numbers(confidence)


def _confidences(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """`(n,)` probability of the predicted class, in 0..1; NaN where a row has a NaN."""
    highest: npt.NDArray[np.float64] = predictions.probabilities(table).max(axis=1)
    return highest


def _bin_numbers(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """`(n,)` bins, 0 to 14; a NaN goes to the last, and makes its mean NaN."""
    return np.digitize(confidence, _EDGES[1:-1], right=True).astype(np.int64)
