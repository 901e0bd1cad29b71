"""The best trial of a sweep, those that noise alone may part from it, and the cheapest of them."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline_config.sweep import MAXIMIZED
from tasks.records import Trial
from tasks.sweep.settings_in_words import (
    count,
    distinct,
    join,
    short_names,
    tell_duration,
    tell_settings,
    tell_value,
    tell_values,
)
from tasks.ties import AS_MANY, is_faster, is_tied


@dataclass(frozen=True)
class Recommendation:
    """Which trial's settings to take, and why.

    Attributes:
        trial: the cheapest of the tied ones.
        best: the one with the best value.
        tied: those within the noise of the best, itself among them, best first.
        sentence: all of it in plain words.
    """

    trial: Trial
    best: Trial
    tied: tuple[Trial, ...]
    sentence: str


def rank(trials: Iterable[Trial], metric: str) -> list[Trial]:
    """The complete trials, best first.

    Equal values are ordered by the lower `chosen_val_loss`, where there is one, then by the settings; never by number
    or time, so that a sweep that was interrupted and continued chooses the same trial.

    Args:
        metric: of `pipeline_config.sweep.MAXIMIZED`.
    """
    sign = -1 if MAXIMIZED[metric] else 1

    def best_first(trial: Trial) -> tuple[float, float, str]:
        loss = _figure(trial, "chosen_val_loss")
        return sign * (trial.value or 0.0), loss, json.dumps(trial.params, sort_keys=True, default=str)

    return sorted((trial for trial in trials if is_complete(trial)), key=best_first)


def is_complete(trial: Trial) -> bool:
    """Whether it ran to its end with a value that is a number."""
    return trial.state == "complete" and trial.value is not None and math.isfinite(trial.value)


def find_interval(trial: Trial) -> tuple[float, float] | None:
    """The 95 % interval of its value; None where it is not known, as of a single image."""
    if trial.low is None or trial.high is None or not math.isfinite(trial.low + trial.high):
        return None
    return trial.low, trial.high


def find_best(trials: Iterable[Trial], metric: str) -> Trial | None:
    """The first of `rank`; None where no trial is complete."""
    return next(iter(rank(trials, metric)), None)


def find_tied(trials: Iterable[Trial], metric: str) -> list[Trial]:
    """The complete trials whose value lies within the best's 95 % interval, the best itself first.

    Where the best has no interval those of exactly its value.
    """
    ranked = rank(trials, metric)
    return [trial for trial in ranked if _is_within(trial, ranked[0])]


def _is_within(trial: Trial, best: Trial) -> bool:
    return is_tied(trial.value or 0.0, best.value or 0.0, find_interval(best))


def recommend(trials: Sequence[Trial], metric: str, images: int | None = None) -> Recommendation | None:
    """The cheapest of the tied trials: of those with the fewest parameters the best, or one that fits much faster.

    Args:
        trials: all of the sweep.
        metric: of `pipeline_config.sweep.MAXIMIZED`.
        images: validation images that the values were measured on, to be told with them.

    Returns:
        None where no trial is complete.
    """
    tied = find_tied(trials, metric)
    if not tied:
        return None
    cheapest = _find_cheapest(tied)
    sentence = f"{_tell_ties(tied, trials, metric, images)} {_tell_choice(cheapest, tied)}"
    return Recommendation(cheapest, tied[0], tuple(tied), sentence)


def _find_cheapest(tied: Sequence[Trial]) -> Trial:
    """Fewest parameters; among as many the best, or the shortest fit where it is a tenth shorter than the best's."""
    fewest = min(_figure(trial, "parameters") for trial in tied)
    small = [trial for trial in tied if _figure(trial, "parameters") <= fewest * AS_MANY]
    shortest = min(small, key=lambda trial: _figure(trial, "fit_seconds"))
    return shortest if _fits_faster(shortest, small[0]) else small[0]


def _fits_faster(trial: Trial, other: Trial) -> bool:
    return is_faster(_figure(trial, "fit_seconds"), _figure(other, "fit_seconds"))


def _figure(trial: Trial, name: str) -> float:
    """A metric of the trial; infinite where it is not known, so that what is known comes before it."""
    value = trial.metrics.get(name, math.inf)
    return value if math.isfinite(value) else math.inf


def _tell_ties(tied: Sequence[Trial], trials: Sequence[Trial], metric: str, images: int | None) -> str:
    best, complete = tied[0], [trial for trial in trials if is_complete(trial)]
    measured = f"({tell_measured(best, metric, images)})"
    if len(complete) == 1:
        return f"Trial {best.number} alone is complete {measured}: there is none to compare it with."
    if len(tied) == 1:
        told = f"Trial {best.number} is the best {measured}"
        if find_interval(best) is None:
            return f"{told}; how much of that is chance is not known."
        return f"{told}; no other of {len(complete)} complete trials is within that interval."
    opening = f"{len(tied)} of {count(len(trials), 'trial')}, the best among them, are tied {measured}"
    return f"{opening}: {_tell_what_ties(tied, complete)}"


def tell_measured(trial: Trial, metric: str, images: int | None = None) -> str:
    """`val_accuracy 0.912, 0.893 to 0.930 on 750 validation images`."""
    ends = find_interval(trial)
    told = f", {tell_value(ends[0])} to {tell_value(ends[1])}" if ends else ""
    return f"{metric} {tell_value(trial.value)}{told}{f' on {images:,} validation images' if images else ''}"


def _tell_what_ties(tied: Sequence[Trial], complete: Sequence[Trial]) -> str:
    """Which values the sweep cannot tell apart, and which all of the best have."""
    names = short_names(key for trial in complete for key in trial.params)
    varied = {key: distinct(tied, key) for key in names}
    apart = [f"{names[key]} {tell_values(values)}" for key, values in varied.items() if len(values) > 1]
    shared = [
        f"{names[key]} {tell_values(values)}"
        for key, values in varied.items()
        if len(values) == 1 < len(distinct(complete, key))
    ]
    if not apart:
        return "their settings are the same."
    common = f" All of them have {join(shared)}." if shared else ""
    if len(apart) == 1:
        return f"the sweep cannot tell {apart[0]} apart.{common}"
    return f"the sweep cannot tell them apart, with {'; '.join(apart)}.{common}"


def _tell_choice(chosen: Trial, tied: Sequence[Trial]) -> str:
    names = short_names(key for trial in tied for key in trial.params)
    settings = tell_settings(chosen.params, names)
    told = f"Recommended: trial {chosen.number}{f', {settings}' if settings else ''}"
    if len(tied) == 1:
        return f"{told}."
    return f"{told}; {_tell_why(chosen, tied)}."


def _tell_why(chosen: Trial, tied: Sequence[Trial]) -> str:
    best, fewest, of_best = tied[0], _figure(chosen, "parameters"), _figure(tied[0], "parameters")
    if fewest * AS_MANY < of_best:
        return f"of the tied ones it is the cheapest, with {fewest:,.0f} parameters where the best has {of_best:,.0f}"
    if chosen is not best:
        seconds, longer = (tell_duration(_figure(trial, "fit_seconds")) for trial in (chosen, best))
        return f"it has as many parameters as the best and is fitted in {seconds} instead of {longer}"
    return "it is the best, and none of those tied with it is clearly cheaper"
