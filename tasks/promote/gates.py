"""Conditions of promotion, each with its verdict in a sentence. Pure: metrics and predictions in, gates out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline_config.metric_names import HIGHER_IS_BETTER
from tasks import predictions
from tasks.boxes import GOOD_IOU
from tasks.records import Gate
from tasks.statistics import PairedTest, mcnemar

SAME_TEST_ROWS, SAME_HEADS = "same_test_rows", "same_heads"
NOT_WORSE, WORTH_MOVING = "not_worse_than_champion", "worth_moving"
_ROUNDING = 1e-9  # 0.95 - 0.9 is less than 0.05 in floating point


@dataclass(frozen=True)
class _Head:
    """What a model may predict, and when it is right."""

    criterion: str
    is_in: Callable[[pd.DataFrame], bool]
    is_right: Callable[[pd.DataFrame], npt.NDArray[np.bool_]]


# With both, a row is right as in Everingham et al., The Pascal Visual Object Classes Challenge, 2010.
_RIGHT = (
    _Head("the class", predictions.has_classes, predictions.correct),
    _Head(f"a box with an IoU of at least {GOOD_IOU}", predictions.has_boxes, predictions.found),
)


@dataclass(frozen=True)
class Side:
    """One of the two models that are compared: what it was made from and what it predicted.

    Attributes:
        title: as sentences name it.
        predictions: table of the test rows.
        test_digest, data_digest: None where its run does not tell.
        note: how its predictions came about, where they are not those of its own evaluation.
    """

    title: str
    predictions: pd.DataFrame
    test_digest: str | None
    data_digest: str | None
    note: str = ""


def threshold_gates(metrics: Mapping[str, float], thresholds: Mapping[str, float]) -> list[Gate]:
    """A gate for each threshold: a lower bound, or an upper one where lower is better."""
    return [_threshold_gate(name, metrics.get(name), bound) for name, bound in thresholds.items()]


def _threshold_gate(name: str, value: float | None, bound: float) -> Gate:
    gate = f"threshold_{name}"
    if value is None:
        return Gate(gate, False, f"{name} was not measured for this model; expected a value to hold against {bound:g}")
    higher = HIGHER_IS_BETTER[name]
    passed = value >= bound if higher else value <= bound
    wanted = "at least" if higher else "at most"
    return Gate(gate, passed, f"{name} is {value:.4g}; expected {wanted} {bound:g}")


def champion_gates(challenger: Side, champion: Side, margin: float | None = None) -> list[Gate]:
    """Whether the challenger may take the champion's place: compared by a paired test on the same test rows.

    Both are held to what both predict: the class, the box, or both of them.

    Args:
        challenger, champion: the two.
        margin: share of the test rows, above 0, by which the challenger must be better; None: by none, on newer data.
    """
    if challenger.test_digest != champion.test_digest:
        return [_other_rows(challenger, champion)]
    ours, theirs = _in_one_order(challenger.predictions, champion.predictions)
    heads = [head for head in _RIGHT if head.is_in(ours) and head.is_in(theirs)]
    if not heads:
        return [_other_heads(challenger, champion)]
    right = [np.logical_and.reduce([head.is_right(table) for head in heads]) for table in (ours, theirs)]
    test = mcnemar(*right)
    counts = _counts(challenger, champion, right, test) + _criterion(heads)
    not_worse = not test.first_is_worse()
    verdict = "not worse beyond chance" if not_worse else "worse beyond chance"
    return [
        Gate(SAME_TEST_ROWS, True, _told_rows(len(ours), champion.note)),
        Gate(NOT_WORSE, not_worse, f"{verdict}: {counts}"),
        _better_by(margin, right, test, counts) if margin else _worth_moving(challenger, champion, test, counts),
    ]


def _told_rows(rows: int, note: str) -> str:
    return f"both were evaluated on the same {rows} test rows{f': {note}' if note else ''}"


def _worth_moving(challenger: Side, champion: Side, test: PairedTest, counts: str) -> Gate:
    """On the data that the champion has seen, a tie is no reason to move the alias."""
    if challenger.data_digest != champion.data_digest:
        return Gate(WORTH_MOVING, True, "the challenger was trained on newer data")
    if test.first_is_better():
        return Gate(WORTH_MOVING, True, f"better beyond chance: {counts}")
    return Gate(WORTH_MOVING, False, f"the same data, and not better beyond chance: {counts}; the champion stays")


def _better_by(margin: float, right: Sequence[npt.NDArray[np.bool_]], test: PairedTest, counts: str) -> Gate:
    """Better beyond chance, and by the margin that was asked for."""
    ours, theirs = (int(rows.sum()) for rows in right)
    lead = (ours - theirs) / len(right[0])
    passed = test.first_is_better() and lead >= margin - _ROUNDING
    chance = "beyond chance" if test.first_is_better() else "not beyond chance"
    stays = "" if passed else "; the champion stays"
    return Gate(WORTH_MOVING, passed, f"better by {lead:.4f}, {chance}; expected at least {margin:g}: {counts}{stays}")


def _other_rows(challenger: Side, champion: Side) -> Gate:
    return Gate(
        SAME_TEST_ROWS,
        False,
        f"{challenger.title} was evaluated on test rows {str(challenger.test_digest)[:12]}, {champion.title} on "
        f"{str(champion.test_digest)[:12]}; only models with the same test rows can be compared; "
        "evaluate both on one data set, or start over under another experiment name",
    )


def _in_one_order(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    ours, theirs = ours.sort_values("image_id"), theirs.sort_values("image_id")
    return ours.reset_index(drop=True), theirs.reset_index(drop=True)


def _counts(challenger: Side, champion: Side, right: Sequence[npt.NDArray[np.bool_]], test: PairedTest) -> str:
    ours, theirs = (int(rows.sum()) for rows in right)
    return (
        f"{challenger.title} has {ours} of {len(right[0])} right, {champion.title} {theirs}; "
        f"{test.only_first} and {test.only_second} of them alone, McNemar p = {test.p_value:.3f}"
    )


def _criterion(heads: Sequence[_Head]) -> str:
    """What counts as right, where it is not the class alone."""
    said = " and ".join(head.criterion for head in heads)
    return "" if said == _RIGHT[0].criterion else f" (right: {said})"


def _other_heads(challenger: Side, champion: Side) -> Gate:
    return Gate(
        SAME_HEADS,
        False,
        f"of {challenger.title} and {champion.title} one predicts classes alone and the other boxes alone; only models "
        "with a head in common can be compared; give params.heads=[class, box], or start over under another "
        "experiment name",
    )
