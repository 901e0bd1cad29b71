"""The comparison: models on the same test rows, ranked, those that cannot be told from the best one marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline_config.errors import ConfigurationError
from tasks import predictions
from tasks.compare.rows import Row, make_row
from tasks.statistics import mcnemar
from tasks.tracking import LoggedRun

_MAX_NAMED = 5
SHORT = 8
"""Digits of a run's id that tell it from others to the eye."""

Hits = Mapping[str, npt.NDArray[np.bool_] | None]
"""Run id -> `(n,)` whether it has each test row's class right, in the order of the image ids; None of boxes alone."""


@dataclass(frozen=True)
class Group:
    """Models that were evaluated on the same test rows, the best first.

    Attributes:
        test_digest: names the test rows.
        num_images: how many they are; None where no predictions table was at hand.
    """

    test_digest: str
    num_images: int | None
    rows: tuple[Row, ...]


def read_hits(path: Path) -> npt.NDArray[np.bool_] | None:
    """`(n,)` whether each class of a table is right, in the order of the image ids; None of boxes alone."""
    table = predictions.read(path).sort_values("image_id")
    return predictions.correct(table) if predictions.has_classes(table) else None


def compare(runs: Sequence[LoggedRun], hits: Hits) -> tuple[Group, ...]:
    """The runs in groups of the same test rows; ranks and paired tests stay within a group.

    Args:
        runs: at least one.
        hits: of each run whose predictions are at hand; of the others ties are not told.
    """
    return tuple(_rank(digest, members, hits) for digest, members in _by_test_rows(runs).items())


def refuse_unlike(runs: Sequence[LoggedRun]) -> None:
    """Only models that met the same test rows may be ranked against each other.

    Raises:
        ConfigurationError: there are several sets of test rows; says which run has which.
    """
    groups = _by_test_rows(runs)
    if len(groups) > 1:
        told = "; ".join(f"{_names(members)} on test rows {digest[:12]}" for digest, members in groups.items())
        raise ConfigurationError(
            f"expected runs that were evaluated on the same test rows; received {told}; "
            "name runs of one data set, or add --force to show each set of test rows in a table of its own"
        )


def _by_test_rows(runs: Sequence[LoggedRun]) -> dict[str, list[LoggedRun]]:
    groups: dict[str, list[LoggedRun]] = {}
    for run in runs:
        groups.setdefault(run.test_digest, []).append(run)
    return groups


def _names(runs: Sequence[LoggedRun]) -> str:
    """`cnn (run 01234567), svm (run 89abcdef) and 3 more`."""
    named = ", ".join(f"{run.name} (run {run.run_id[:SHORT]})" for run in runs[:_MAX_NAMED])
    return named + (f" and {len(runs) - _MAX_NAMED} more" if len(runs) > _MAX_NAMED else "")


def _rank(digest: str, runs: Sequence[LoggedRun], hits: Hits) -> Group:
    ordered = sorted(runs, key=_best_first)
    best = hits.get(ordered[0].run_id)
    rows = (make_row(run, rank, _tied(best, hits.get(run.run_id))) for rank, run in enumerate(ordered, 1))
    counts = (len(hit) for hit in map(hits.get, (run.run_id for run in ordered)) if hit is not None)
    return Group(digest, next(counts, None), tuple(rows))


def _best_first(run: LoggedRun) -> tuple[float, float, str]:
    return -run.metrics.get("test_accuracy", -1), -run.metrics.get("test_mean_iou", -1), run.name


def _tied(best: npt.NDArray[np.bool_] | None, other: npt.NDArray[np.bool_] | None) -> bool | None:
    """Whether the exact McNemar test at 5 % cannot tell the two apart."""
    return None if best is None or other is None else not mcnemar(best, other).first_is_better()
