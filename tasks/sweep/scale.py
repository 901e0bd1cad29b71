"""The scale that the bars of the table are drawn on."""

from collections.abc import Sequence

from tasks.records import Trial
from tasks.scale import Scale
from tasks.sweep.plots import is_wide
from tasks.sweep.ties import find_interval, rank

_TICKS = 3


def make_scale(trials: Sequence[Trial], metric: str) -> Scale | None:
    """A scale that holds the complete trials with their intervals; where some are very far off, the better half.

    None where no trial is complete.
    """
    from matplotlib.ticker import MaxNLocator

    ranked = rank(trials, metric)
    if not ranked:
        return None
    if is_wide([trial.value or 0.0 for trial in ranked]):
        ranked = ranked[: (len(ranked) + 1) // 2]
    ends = [end for trial in ranked for end in (trial.value or 0.0, *(find_interval(trial) or ()))]
    ticks = MaxNLocator(_TICKS, steps=[1, 2, 5, 10]).tick_values(min(ends), max(ends))
    return Scale(float(ticks[0]), float(ticks[-1]), tuple(float(f"{tick:.6g}") for tick in ticks))
