"""Metrics of several models on the same resamples of the test rows, from which their differences get intervals.

Paired bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13): every model meets each resample,
so what makes a row hard for all of them cancels out of a difference.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tasks.compare.answers import Answers
from tasks.statistics import BOOTSTRAP_SAMPLES

_SEED = 0
_AT_ONCE = 4_000_000  # drawn rows that are held in memory

Floats = npt.NDArray[np.floating]


def resampled_metrics(answers: Sequence[Answers]) -> dict[str, Floats]:
    """Metrics of each model on all rows, and on the same `BOOTSTRAP_SAMPLES` resamples of them.

    Args:
        answers: of the same `n` rows, in the order of the image ids, which makes the draws independent of any other.

    Returns:
        `macro_f1`, `log_loss` and `mean_iou`, each `(1 + samples, models)`, that on all rows first; NaN of a model
        that lacks the head.
    """
    if not answers:
        return {}
    shape = (1 + BOOTSTRAP_SAMPLES, len(answers))
    metrics = {name: np.full(shape, np.nan) for name in ("macro_f1", "log_loss", "mean_iou")}
    done = 0
    for counts in _draw(len(answers[0].labels)):
        here = slice(done, done := done + counts.shape[1])
        for model, one in enumerate(answers):
            if one.predicted is not None and one.losses is not None:
                metrics["macro_f1"][here, model] = _macro_f1(one.labels, one.predicted, counts)
                metrics["log_loss"][here, model] = one.losses @ counts / len(one.losses)
            if one.ious is not None:
                metrics["mean_iou"][here, model] = one.ious @ counts / len(one.ious)
    return metrics


def _draw(rows: int) -> Iterator[Floats]:
    """How often each resample holds each row, `(rows, some)` at a time; all rows once come first."""
    yield np.ones((rows, 1), np.float32)
    generator = np.random.default_rng(_SEED)
    some = max(_AT_ONCE // rows, 1)
    for start in range(0, BOOTSTRAP_SAMPLES, some):
        drawn = generator.integers(rows, size=(min(some, BOOTSTRAP_SAMPLES - start), rows))
        yield np.stack([np.bincount(one, minlength=rows) for one in drawn], axis=1).astype(np.float32)


def _macro_f1(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], counts: Floats) -> Floats:
    """Macro F1 of each resample, `(samples,)`; as scikit-learn's, over classes that have rows or predictions in it."""
    classes = int(max(labels.max(), predicted.max())) + 1
    right = _sum_by_class(labels, (labels == predicted), counts, classes)
    every = np.ones(len(labels))
    both = _sum_by_class(labels, every, counts, classes) + _sum_by_class(predicted, every, counts, classes)
    there = both > 0
    f1: Floats = (2 * right / np.where(there, both, 1)).sum(axis=0) / there.sum(axis=0)
    return f1


def _sum_by_class(of: npt.NDArray[np.int64], weight: npt.NDArray[np.generic], counts: Floats, classes: int) -> Floats:
    """`(classes, samples)`: the drawn rows of each class, those of weight 0 left out."""
    from scipy import sparse

    picked = sparse.csr_array((weight.astype(np.float32), (of, np.arange(len(of)))), shape=(classes, len(of)))
    sums: Floats = picked @ counts
    return sums
