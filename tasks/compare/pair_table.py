"""The pairs of a group as they are told: in a sentence, as a list, as a triangle."""

from dataclasses import dataclass
from typing import Any

from tasks.compare.pairs import Difference, Pair
from tasks.compare.rows import Row
from tasks.compare.table import Group

METHOD = (
    "Of every two models: exact McNemar test of which test rows they have right, p-values corrected for the number of "
    "pairs after Holm (1979); better: below 0.05. Differences are the first minus the second, with a 95 % interval by "
    "paired bootstrap of the test rows, which is not corrected"
)
DIFFERENCES = {"macro_f1": "macro F1", "log_loss": "log loss", "mean_iou": "mean IoU"}
"""Attribute of a pair -> its heading."""
UNKNOWN = "–"
TIE = "≈"
PAIR_NAMES = (
    *("test_digest", "first", "first_run_id", "second", "second_run_id"),
    *("only_first", "only_second", "p_value", "p_holm", "differs"),
    *(f"{name}_difference{end}" for name in DIFFERENCES for end in ("", "_low", "_high")),
)
"""Of `pair_records`, in their order."""
_MOST_LISTED = 6
_MOST_IN_TRIANGLE = 12
_LEAST_TOLD = 0.001


@dataclass(frozen=True)
class Cell:
    """Two models in the triangle; `differs` as of their pair."""

    text: str
    differs: bool | None
    title: str


@dataclass(frozen=True)
class Line:
    """One row of the triangle: a model against each that ranks higher."""

    row: Row
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ListedPair:
    """A pair in words; a difference is None where no pair of the list has it."""

    first: Row
    second: Row
    only_right: str
    p_value: str
    p_holm: str
    verdict: str
    macro_f1: str | None
    log_loss: str | None
    mean_iou: str | None


def summarize(group: Group) -> str | None:
    """`3 of 6 pairs differ by more than chance (Holm)`; None of a single model."""
    if not group.pairs:
        return None
    tested = [pair for pair in group.pairs if pair.differs is not None]
    untested = len(group.pairs) - len(tested)
    also = f"; {untested} could not be tested" if untested else ""
    differing = sum(pair.differs is True for pair in tested)
    pairs = "pair" if len(tested) == 1 else "pairs"
    differ = "differs" if 1 in (differing, len(tested)) else "differ"
    return f"{differing or 'none'} of {len(tested)} {pairs} {differ} by more than chance (exact McNemar, Holm){also}"


def pair_records(group: Group) -> list[dict[str, Any]]:
    """All pairs with unrounded figures, for programs; None is what is not known."""
    names = {row.run_id: row.model for row in group.rows}
    return [
        {
            "test_digest": group.test_digest,
            "first": names[pair.first],
            "first_run_id": pair.first,
            "second": names[pair.second],
            "second_run_id": pair.second,
            **{name: getattr(pair, name) for name in ("only_first", "only_second", "p_value", "p_holm", "differs")},
            **{key: value for name in DIFFERENCES for key, value in _figures(name, getattr(pair, name)).items()},
        }
        for pair in group.pairs
    ]


def _figures(name: str, difference: Difference) -> dict[str, float | None]:
    values = (difference.value, difference.low, difference.high)
    return {f"{name}_difference{end}": value for end, value in zip(("", "_low", "_high"), values, strict=True)}


def list_pairs(group: Group) -> tuple[ListedPair, ...]:
    """All pairs where they are few, else those with the best."""
    pairs = [pair for pair in group.pairs if len(group.pairs) <= _MOST_LISTED or pair.first == group.rows[0].run_id]
    rows = {row.run_id: row for row in group.rows}
    known = {name: any(getattr(pair, name).value is not None for pair in pairs) for name in DIFFERENCES}
    return tuple(
        ListedPair(
            first=rows[pair.first],
            second=rows[pair.second],
            only_right=UNKNOWN if pair.only_first is None else f"{pair.only_first:,} : {pair.only_second:,}",
            p_value=_probability(pair.p_value),
            p_holm=_probability(pair.p_holm),
            verdict=_verdict(pair),
            **{name: _difference(getattr(pair, name)) if shown else None for name, shown in known.items()},
        )
        for pair in pairs
    )


def make_triangle(group: Group) -> tuple[Line, ...]:
    """Corrected p-values of all pairs, one row a model from the second on; nothing below three models or beyond 12."""
    if not 3 <= len(group.rows) <= _MOST_IN_TRIANGLE:
        return ()
    cells: dict[str, list[Cell]] = {row.run_id: [] for row in group.rows}
    rows = {row.run_id: row for row in group.rows}
    for pair in group.pairs:
        title = f"first {rows[pair.first].model}, second {rows[pair.second].model}: {_verdict(pair)}"
        cells[pair.second].append(Cell(_probability(pair.p_holm), pair.differs, title))
    return tuple(Line(row, tuple(cells[row.run_id])) for row in group.rows[1:])


def _probability(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"<{_LEAST_TOLD}" if value < _LEAST_TOLD else f"{value:.3f}"


def _verdict(pair: Pair) -> str:
    if pair.differs is None:
        return "not tested"
    if pair.better is None:
        return f"{TIE} not told apart"
    return f"{'first' if pair.better == pair.first else 'second'} is better"


def _difference(difference: Difference) -> str:
    """`+0.012 (-0.001..+0.025)`."""
    if difference.value is None:
        return UNKNOWN
    ends = (difference.low, difference.high)
    return f"{difference.value:+z.3f}" + ("" if None in ends else " ({:+z.3f}..{:+z.3f})".format(*ends))
