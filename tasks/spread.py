"""One piece of work for each of many batches, done side by side wherever it may be."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Work and batches -> the work's result for each batch, in their order, as they come; work and batches are pickled."""


def by_processes(work: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
    """By worker processes of this machine, one a processor."""
    import joblib

    run = joblib.Parallel(n_jobs=joblib.cpu_count(), backend="loky", return_as="generator")
    yield from run(joblib.delayed(work)(batch) for batch in batches)
