"""Every two models of a group: whether they differ by more than chance, and by how much."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.compare.answers import Answers, AnswersByRun
from tasks.compare.bootstrap import Floats, resampled_metrics
from tasks.statistics import PairedTest, correct_holm, mcnemar

ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """First minus second, with the ends of the 95 % interval; None where one of them has no such metric."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """Two models on the same rows, the one that ranks higher first.

    Attributes:
        first, second: run ids.
        only_first, only_second: rows of which only that model has the class right; None where it was not tested.
        p_value: of the exact McNemar test, two-sided; None where it was not made.
        p_holm: the same, corrected for the number of pairs that were tested.
        macro_f1, log_loss, mean_iou: differences, intervals by paired bootstrap, which are not corrected.
    """

    first: str
    second: str
    only_first: int | None
    only_second: int | None
    p_value: float | None
    p_holm: float | None
    macro_f1: Difference
    log_loss: Difference
    mean_iou: Difference

    @property
    def differs(self) -> bool | None:
        """Whether one has more classes right than chance explains; None where it was not tested."""
        return None if self.p_holm is None else self.p_holm < ALPHA

    @property
    def better(self) -> str | None:
        """Run id of the model that is better by more than chance; None where none is."""
        if not self.differs or self.only_first is None or self.only_second is None:
            return None
        return self.first if self.only_first > self.only_second else self.second


def compare_pairs(run_ids: Sequence[str], answers: AnswersByRun) -> tuple[Pair, ...]:
    """All pairs of the models, in their order.

    Args:
        run_ids: of one group, the best first.
        answers: of those whose predictions are at hand, of the same rows in the same order; of the others nothing is
            tested.
    """
    known = [run_id for run_id in run_ids if run_id in answers]
    resampled = resampled_metrics([answers[run_id] for run_id in known])
    columns = {run_id: column for column, run_id in enumerate(known)}
    pairs = list(itertools.combinations(run_ids, 2))
    tests = [_test(answers.get(first), answers.get(second)) for first, second in pairs]
    corrected = iter(correct_holm([test.p_value for test in tests if test]))
    return tuple(
        Pair(
            first,
            second,
            test.only_first if test else None,
            test.only_second if test else None,
            test.p_value if test else None,
            next(corrected) if test else None,
            **_differences(resampled, columns.get(first), columns.get(second)),
        )
        for (first, second), test in zip(pairs, tests, strict=True)
    )


def _test(first: Answers | None, second: Answers | None) -> PairedTest | None:
    if first is None or second is None or first.hits is None or second.hits is None:
        return None
    return mcnemar(first.hits, second.hits)


def _differences(resampled: Mapping[str, Floats], first: int | None, second: int | None) -> dict[str, Difference]:
    """The difference of each metric; `first` and `second` are columns, None where predictions are not at hand."""
    nothing = Difference(None, None, None)
    if first is None or second is None:
        return dict.fromkeys(("macro_f1", "log_loss", "mean_iou"), nothing)
    return {name: _difference(values[:, first] - values[:, second]) for name, values in resampled.items()}


def _difference(values: Floats) -> Difference:
    """Of the value on all rows, which comes first, and those on the resamples."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    told = [float(value) if math.isfinite(value) else None for value in (values[0], low, high)]
    return Difference(*told)
