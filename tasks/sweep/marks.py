"""How a trial is marked in pictures: the best, those tied with it, the others, those pruned."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.picture_style import FIRST, SECOND
from tasks.records import Trial
from tasks.sweep.ties import find_tied

BEST, TIED, OTHER, PRUNED = "best", "tied with it", "complete", "pruned"


@dataclass(frozen=True)
class Mark:
    """Colour on white paper, and on a screen that may be light or dark; width of a line in points."""

    paper: str
    screen: str
    width: float


MARKS = {
    PRUNED: Mark(SECOND, "#d0720c", 0.9),
    OTHER: Mark("#a3abb6", "#8a94a3", 0.9),
    TIED: Mark("#7fb0e6", "#7aaee8", 1.3),
    BEST: Mark(FIRST, "#2f7fd6", 2.4),
}
"""In the order in which they are drawn, the last on top."""


def find_marks(trials: Sequence[Trial], metric: str) -> dict[int, str]:
    """Number of a trial -> its mark, a key of `MARKS`; a failed one has none."""
    states = {"complete": OTHER, "pruned": PRUNED}
    marks = {trial.number: states[trial.state] for trial in trials if trial.state in states}
    tied = find_tied(trials, metric)
    marks |= {trial.number: TIED for trial in tied}
    return marks | {trial.number: BEST for trial in tied[:1]}
