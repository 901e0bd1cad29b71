"""Optuna's study of a sweep: made or taken up again, its trials counted and read."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment
from pipeline_config.sweep import Sweep
from tasks.records import Trial
from tasks.sweep.space import decode, grid, trial_model

_AGAIN = "again"  # attribute of a trial that takes the place of an interrupted one: its number
_OUTCOME = "outcome"  # attribute of a trial that ended: its record

_SECONDS_TO_WAIT = 120  # for another process that writes to the same SQLite file
_DIGITS = 12


def study_name(experiment: Experiment, data_digest: str) -> str:
    """The same for the same question: model, space, metric, seed, data. How many trials, and how long, may change.

    Args:
        experiment: with a sweep.
        data_digest: of the manifest.
    """
    sweep = experiment.sweep
    assert sweep is not None
    question = {
        "experiment": experiment.name,
        "data": data_digest,
        "model": trial_model(experiment, {}).model_dump(mode="json"),
        **sweep.model_dump(mode="json", include={"space", "metric", "sampler", "seed", "pruner"}),
    }
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
    return f"{experiment.name}-{sweep.model}-{digest[:_DIGITS]}"


@contextmanager
def held(name: str, folder: Path) -> Iterator[None]:
    """The study for this process alone, on this machine; the kernel frees it when the process ends.

    Raises:
        DarkroomError: another process has it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        taken = FileLock(folder / f"{name}.lock").acquire(timeout=0)
    except Timeout:
        raise DarkroomError(
            f"sweep {name}: expected to be the only one at it; another process is; wait for it, or change the sweep"
        ) from None
    with taken:
        yield


def open_study(name: str, sweep: Sweep, epochs: int, url: str, folder: Path) -> Any:
    """The study of that name, made where there is none.

    Args:
        name: of `study_name`.
        sweep: the section.
        epochs: of a trial at most, over which the pruner decides.
        url: of Optuna's database.
        folder: for the lock of its making.
    """
    import optuna
    from filelock import FileLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Its waiting is SQLite's alone; two processes that make the same tables at once get in each other's way.
    options = {"connect_args": {"timeout": _SECONDS_TO_WAIT}} if url.startswith("sqlite") else {}
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "storage.lock"):
        storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if sweep.is_maximized else "minimize",
            pruner=_pruner(sweep, epochs),
            load_if_exists=True,
        )
    # A sampler begins with its seed: one that is taken up again must not draw the same again.
    study.sampler = _sampler(sweep, sweep.seed + len(study.get_trials(deepcopy=False)))
    return study


def _sampler(sweep: Sweep, seed: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    if sweep.sampler == "tpe":
        return TPESampler(seed=seed, constant_liar=True)  # which keeps workers from trying the same at once
    return RandomSampler(seed=seed)  # of a grid every trial is queued, with all its values


def _pruner(sweep: Sweep, epochs: int) -> Any:
    """What decides after an epoch whether a trial ends.

    A third of the epochs, or of the trials, are left by each step of successive halving: eta 3, as in Li et al. 2018
    (Hyperband, JMLR 18). The median rule (Golovin et al. 2017, Google Vizier) is Optuna's, here from the fifth trial on
    and after a fifth of the epochs, at least two: with batch normalisation the first say little, and a trial that was
    to be the best began with the accuracy of guessing.
    """
    from optuna import pruners

    if sweep.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=max(2, epochs // 5))
    if sweep.pruner == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 9), reduction_factor=3)
    if sweep.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=max(2, epochs), reduction_factor=3)
    return pruners.NopPruner()


def queue_grid(study: Any, sweep: Sweep) -> None:
    """Every combination, in an order by the seed; those that the study has already, not again."""
    import numpy as np

    combinations = grid(sweep)
    for number in np.random.default_rng(sweep.seed).permutation(len(combinations)):
        study.enqueue_trial(combinations[number], skip_if_exists=True)


def close_interrupted(study: Any) -> list[int]:
    """Trials that a process left at work when it was killed: closed, and queued again; their numbers.

    Queued before they are closed, so that a second kill in between loses none.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    queued = {trial.user_attrs.get(_AGAIN) for trial in trials}
    left = [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in left:
        values = trial.system_attrs.get("fixed_params") or trial.params  # the first are complete, if there are any
        if values and trial.number not in queued:
            study.enqueue_trial(values, user_attrs={_AGAIN: trial.number})
        study.tell(trial.number, state=TrialState.FAIL)
    return [trial.number for trial in left]


def finished_trials(study: Any, sweep: Sweep) -> list[Trial]:
    """What became of the trials that ended, interrupted ones left out, by number."""
    trials = study.get_trials(deepcopy=False)
    interrupted = {trial.user_attrs.get(_AGAIN) for trial in trials}
    return [
        Trial(number=trial.number, params=decode(sweep, trial.params), **trial.user_attrs[_OUTCOME])
        for trial in trials
        if trial.state.is_finished() and _OUTCOME in trial.user_attrs and trial.number not in interrupted
    ]


def close_trial(study: Any, trial: Any, ended: Trial) -> None:
    """Tell Optuna what became of a trial."""
    from optuna.trial import TrialState

    outcome = asdict(ended)
    del outcome["number"], outcome["params"]
    trial.set_user_attr(_OUTCOME, outcome)
    if ended.state == "complete":
        study.tell(trial, ended.value)
    else:
        study.tell(trial, state=TrialState.PRUNED if ended.state == "pruned" else TrialState.FAIL)
