"""Which of Optuna's plots a sweep can have, and what they tell."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.sweep.settings_in_words import count
from tasks.sweep.shown_study import varied_names

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_WIDE = 20.0  # greatest over least value, beyond which an axis is logarithmic
SEED = 0
"""Of fANOVA's forest. Optuna's default, PED-ANOVA, looks at the best tenth of the trials, so it takes fifty or more: of
twelve made-up ones in which the learning rate alone mattered it gave 0.93 to the dropout."""


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: of its PNG, without the ending.
        title: stands above it.
        caption: how it is read, in a sentence.
        missing: why it cannot be drawn, in a sentence; empty where it can.
    """

    name: str
    title: str
    caption: str
    missing: str


def find_plots(shown: "Study", metric: str, tied: int = 1) -> tuple[Plot, ...]:
    """The plots in the order of the page.

    Args:
        shown: of `copy_for_show`.
        metric: that the sweep goes by.
        tied: how many trials are tied with the best, itself counted.
    """
    few, same = _why_too_few(shown), _why_alike(shown)
    complete = len(complete_values(shown))
    noise = " All complete trials are tied, so these shares may be those of noise." if 1 < complete == tied else ""
    return (
        Plot("curves", "Curves", f"{metric} by epoch, of every trial that reported it.", _why_no_curves(shown, metric)),
        Plot(
            "parallel_coordinates",
            "Parallel coordinates",
            f"A line a complete trial, from its {metric} through its settings; blue is better.",
            few or same,
        ),
        Plot(
            "importance",
            "Importance",
            f"Share of the variance of {metric} over {count(complete, 'complete trial')} that each setting explains "
            f"(fANOVA, Hutter et al. 2014), rough where the trials are few.{noise}",
            few or same or _why_no_importance(shown, metric),
        ),
        Plot("slices", "Slices", f"{metric} by each setting alone; the bluer, the later the trial.", few or same),
        Plot("history", "Optimization history", f"{metric} of the complete trials in their order.", few),
    )


def find_target(shown: "Study", metric: str) -> "tuple[Callable[[FrozenTrial], float] | None, str]":
    """What Optuna is to plot where an axis cannot be logarithmic, and its name: the values, or their logarithms."""
    if not is_wide(complete_values(shown)):
        return None, metric
    return lambda trial: math.log10(trial.value or math.nan), f"log10 of {metric}"


def is_wide(values: list[float]) -> bool:
    """Whether the values, as losses of trials that diverged, are too far apart for a linear axis."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > _WIDE


def complete_values(shown: "Study") -> list[float]:
    """Values of the complete trials."""
    from optuna.trial import TrialState

    trials = shown.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial.value for trial in trials if trial.value is not None]


def epoch_values(shown: "Study") -> list[float]:
    """Values of all epochs of the trials that have curves."""
    return [
        value
        for trial in shown.get_trials(deepcopy=False)
        if trial.state.name in {"COMPLETE", "PRUNED"}
        for value in trial.intermediate_values.values()
    ]


def _why_too_few(shown: "Study") -> str:
    found = len(complete_values(shown))
    return f"Not drawn: it takes two complete trials, and there {'is' if found == 1 else 'are'} {found or 'none'}." * (
        found < 2
    )


def _why_alike(shown: "Study") -> str:
    return "" if varied_names(shown) else "Not drawn: the complete trials all have the same settings."


def _why_no_importance(shown: "Study", metric: str) -> str:
    varied = varied_names(shown)
    if len(varied) == 1:
        return f"Not drawn: {varied[0]} alone was varied, so all that differs is its doing, or chance."
    values = complete_values(shown)
    if min(values) == max(values):
        return f"Not drawn: all complete trials have the same {metric}, so there is no variance to explain."
    return ""


def _why_no_curves(shown: "Study", metric: str) -> str:
    return "" if epoch_values(shown) else f"Not drawn: no trial reported its {metric} by epoch."
