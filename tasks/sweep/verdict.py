"""What a sweep found, in sentences."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_config.sweep import MAXIMIZED, Sweep
from tasks.records import Trial
from tasks.sweep.settings_in_words import count, tell_duration
from tasks.sweep.ties import recommend

_STATES = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Saving:
    """What pruning saved.

    Attributes:
        epochs: that the pruned trials were not trained.
        share: of the epochs there would have been without pruning, 0..1.
        seconds: those epochs at each pruned trial's own speed, or where it is not known at that of the complete ones.
    """

    epochs: int
    share: float
    seconds: float


def tell_verdict(trials: Sequence[Trial], sweep: Sweep, images: int | None = None) -> list[str]:
    """Ties and recommendation, what pruning saved, what failed: a sentence or two each.

    Args:
        images: validation images that the values were measured on, to be told with them.
    """
    return [
        told
        for told in (_tell_best(trials, sweep, images), _tell_saving(trials, sweep), _tell_failures(trials))
        if told
    ]


def tell_states(trials: Sequence[Trial]) -> str:
    """`8 trials: 5 complete, 2 pruned, 1 failed`."""
    counts = Counter(trial.state for trial in trials)
    told = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    return f"{count(len(trials), 'trial')}{': ' if told else ''}{told}"


def tell_search(sweep: Sweep) -> str:
    """How the trials were chosen and judged."""
    better = "more" if MAXIMIZED[sweep.metric] else "less"
    pruner = "no pruning" if sweep.pruner == "none" else f"pruner {sweep.pruner}"
    return (
        f"Sampler {sweep.sampler}, {pruner}, seed {sweep.seed}; judged by {sweep.metric}, of which {better} is better"
    )


def find_saving(trials: Sequence[Trial], sweep: Sweep) -> Saving | None:
    """What pruning saved; None where nothing was pruned or it is not known how long the trials would have been.

    A trial is taken to last `sweep.epochs`, or else as long as the longest complete one.
    """
    pruned = [trial for trial in trials if trial.state == "pruned"]
    whole = sweep.epochs or max((trial.epochs for trial in trials if trial.state == "complete"), default=0)
    missing = [max(whole - trial.epochs, 0) for trial in pruned]
    if not sum(missing):
        return None
    trained = sum(trial.epochs for trial in trials if trial.state != "failed")
    usual = _seconds_per_epoch([trial for trial in trials if trial.state == "complete"])
    seconds = sum(
        epochs * (_seconds_per_epoch([trial]) or usual) for epochs, trial in zip(missing, pruned, strict=True)
    )
    return Saving(sum(missing), sum(missing) / (sum(missing) + trained), seconds)


def _seconds_per_epoch(trials: Sequence[Trial]) -> float:
    """0 where it is not known."""
    timed = [trial for trial in trials if "fit_seconds" in trial.metrics]
    return sum(trial.metrics["fit_seconds"] for trial in timed) / max(sum(trial.epochs for trial in timed), 1)


def _tell_best(trials: Sequence[Trial], sweep: Sweep, images: int | None) -> str:
    found = recommend(trials, sweep.metric, images)
    if found:
        return found.sentence
    return f"None of {count(len(trials), 'trial')} is complete, so there is no best one." if trials else "No trial yet."


def _tell_saving(trials: Sequence[Trial], sweep: Sweep) -> str:
    pruned = sum(trial.state == "pruned" for trial in trials)
    saving = find_saving(trials, sweep)
    if not saving:
        return f"{count(pruned, 'trial')} ended early by pruning." if pruned else ""
    spared = f", about {tell_duration(saving.seconds)} of fitting" if saving.seconds else ""
    return (
        f"Pruning ended {count(pruned, 'trial')} early and saved {count(saving.epochs, 'epoch')}, "
        f"{saving.share:.0%} of what there would have been without it{spared}."
    )


def _tell_failures(trials: Sequence[Trial]) -> str:
    """How many failed, and of what most often."""
    reasons = Counter(trial.reason or "reason not known" for trial in trials if trial.state == "failed")
    if not reasons:
        return ""
    (reason, times), *others = reasons.most_common()
    failed = count(sum(reasons.values()), "trial")
    which = (
        ", most often with this reason" if others and times > 1 else ", one of them with this reason" if others else ""
    )
    return f"{failed} failed{which}: {reason.rstrip('.')}."
