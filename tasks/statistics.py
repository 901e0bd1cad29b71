"""Uncertainty of a metric, and the paired test: shared by several stages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BOOTSTRAP_SAMPLES = 2_000
_SEED = 0


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def accuracy_interval(correct: npt.NDArray[np.bool_]) -> Interval:
    """95 % interval of an accuracy.

    Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13). Where all or none are
    correct every resample is alike and the bootstrap would claim certainty; there the exact binomial interval
    (Clopper & Pearson, 1934) is given.

    Args:
        correct: `(n,)`, whether each prediction is right; n >= 1.
    """
    hits, total = int(correct.sum()), len(correct)
    if hits in {0, total}:
        return exact_interval(hits, total)
    # A resample of n outcomes of which a share p is right holds Binomial(n, p) right ones: drawing that number at
    # once is the same bootstrap, without n x samples memory.
    resampled = bootstrap_rng().binomial(total, hits / total, BOOTSTRAP_SAMPLES) / total
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(low), float(high))


def interval_of_share(share: float, total: int) -> Interval:
    """95 % interval of an accuracy of which the share of right ones is known, and not each of them.

    Args:
        share: 0..1.
        total: images, at least 1.
    """
    return accuracy_interval(np.arange(total) < round(share * total))


def exact_interval(hits: int, total: int) -> Interval:
    """Exact 95 % interval of a share (Clopper & Pearson, 1934).

    Args:
        hits: 0 to `total`.
        total: trials, at least 1.
    """
    from scipy import stats

    exact = stats.binomtest(hits, total).proportion_ci(0.95, method="exact")
    return Interval(float(exact.low), float(exact.high))


def bootstrap_rng() -> np.random.Generator:
    """A generator in the same state every time, so that an interval is the same every time."""
    return np.random.default_rng(_SEED)


def resamples_at_once(width: int) -> int:
    """How many resamples of `width` numbers each are held in memory together."""
    return max(1_000_000 // width, 1)


def mean_interval(values: npt.NDArray[np.float64]) -> Interval:
    """95 % interval of a mean: percentile bootstrap, as of `accuracy_interval`.

    Args:
        values: `(n,)`, one an image; n >= 1. Of a single one nothing is known but itself: NaN to both sides, as where a
            value is NaN.
    """
    from scipy import stats

    if len(values) < 2 or np.isnan(values).any():
        return Interval(float("nan"), float("nan"))
    resampled = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=BOOTSTRAP_SAMPLES,
        batch=resamples_at_once(len(values)),
        method="percentile",
        rng=bootstrap_rng(),
    )
    return Interval(float(resampled.confidence_interval.low), float(resampled.confidence_interval.high))


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same rows.

    Attributes:
        only_first: rows that only the first model gets right.
        only_second: rows that only the second model gets right.
        p_value: two-sided, of the hypothesis that neither is better.
    """

    only_first: int
    only_second: int
    p_value: float

    def first_is_worse(self, alpha: float = 0.05) -> bool:
        """Whether the first is worse by more than chance explains."""
        return self.only_first < self.only_second and self.p_value < alpha

    def first_is_better(self, alpha: float = 0.05) -> bool:
        """Whether the first is better by more than chance explains."""
        return self.only_first > self.only_second and self.p_value < alpha


def mcnemar(first_correct: npt.NDArray[np.bool_], second_correct: npt.NDArray[np.bool_]) -> PairedTest:
    """Exact McNemar test (McNemar 1947; exact binomial form) on the rows where two models differ.

    Args:
        first_correct, second_correct: `(n,)`, whether each model's prediction of each row is right, in one order.
    """
    from scipy import stats

    only_first = int((first_correct & ~second_correct).sum())
    only_second = int((~first_correct & second_correct).sum())
    differing = only_first + only_second
    p_value = stats.binomtest(only_first, differing).pvalue if differing else 1.0
    return PairedTest(only_first, only_second, float(p_value))


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """p-values for which each hypothesis may be rejected while the chance of any false rejection stays at the level.

    Step-down method of Holm (1979), A simple sequentially rejective multiple test procedure: the smallest of m is
    multiplied by m, the next by m - 1 and so on; none is less than one before it, or more than 1. scipy has none.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return [float(value) for value in corrected]
