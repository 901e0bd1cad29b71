"""The comparison: models on the same test rows, ranked, those that cannot be told from the best one marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline_config.errors import ConfigurationError
from tasks.compare.answers import AnswersByRun
from tasks.compare.pairs import Pair, compare_pairs
from tasks.compare.rows import Row, make_row
from tasks.tracking import History, LoggedRun

_MAX_NAMED = 5
SHORT = 8
"""Digits of a run's id that tell it from others to the eye."""


@dataclass(frozen=True)
class Group:
    """Models that were evaluated on the same test rows, the best first.

    Attributes:
        test_digest: names the test rows.
        num_images: how many they are; None where no predictions table was at hand.
        pairs: of every two models, in the order of the rows.
        answers: by run id, of the models whose predictions are at hand.
        histories: by run id, curves of the models that have any.
    """

    test_digest: str
    num_images: int | None
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...] = ()
    answers: AnswersByRun = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)


def compare(runs: Sequence[LoggedRun], answers: AnswersByRun) -> tuple[Group, ...]:
    """The runs in groups of the same test rows; ranks and paired tests stay within a group.

    Args:
        runs: at least one.
        answers: of each run whose predictions are at hand; of the others ties are not told.
    """
    return tuple(_rank(digest, members, answers) for digest, members in _by_test_rows(runs).items())


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


def _rank(digest: str, runs: Sequence[LoggedRun], answers: AnswersByRun) -> Group:
    ordered = sorted(runs, key=_best_first)
    known = {run.run_id: answers[run.run_id] for run in ordered if run.run_id in answers}
    pairs = compare_pairs([run.run_id for run in ordered], known)
    ties = _ties(ordered[0].run_id, pairs, known)
    return Group(
        test_digest=digest,
        num_images=next((len(one.labels) for one in known.values()), None),
        rows=tuple(make_row(run, rank, ties[run.run_id]) for rank, run in enumerate(ordered, 1)),
        pairs=pairs,
        answers=known,
        histories={run.run_id: run.history for run in ordered if run.history},
    )


def _best_first(run: LoggedRun) -> tuple[float, float, str]:
    return -run.metrics.get("test_accuracy", -1), -run.metrics.get("test_mean_iou", -1), run.name


def _ties(best: str, pairs: Sequence[Pair], answers: AnswersByRun) -> dict[str, bool | None]:
    """Run id -> whether the paired test cannot tell the model from the best one; None where it was not made.

    The best of many is found by looking at the test rows themselves, so a test of each model against it alone, without
    a correction, would call one of seven equal models worse in two comparisons out of five.
    """
    itself = best in answers and answers[best].hits is not None
    ties: dict[str, bool | None] = {best: True if itself else None}
    for pair in pairs:
        if pair.first == best:
            ties[pair.second] = None if pair.differs is None else pair.better != best
    return ties
