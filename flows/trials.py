"""The trials of a sweep: as many at once as there are workers, until there are enough."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, as_completed

from flows.placement import free_slot, gpus_of, gpus_to_place, share_of
from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment
from pipeline_config.sweep import Sweep
from tasks.processes import ended_with_block, run_isolated
from tasks.progress import bar
from tasks.reasons import ends_all, reason
from tasks.records import Manifest, Trial
from tasks.sweep import study as studies
from tasks.sweep.settings_in_words import short_names, tell_settings, tell_value
from tasks.sweep.space import decode, distributions, number_of_trials, trial_model
from tasks.sweep.task import Plan, TrialFailed, run_trial
from tasks.sweep.ties import find_best
from tasks.tracking import RunTags
from tasks.train.outcome import settings_of
from tasks.train.registry import has_backbone
from tasks.train.trial import Job, fit_trial, share_work

_Running = dict[PrefectFuture[Any], tuple[Any, Plan, int]]


@dataclass(frozen=True)
class Search:
    """What all trials of a sweep share.

    Attributes:
        experiment: with the sweep.
        manifest: of the data; test rows are not used.
        tags: of the pipeline.
        run_id: of the sweep.
        study: Optuna's.
        folder: for logs of trials, and for states to go on from.
    """

    experiment: Experiment
    manifest: Manifest
    tags: RunTags
    run_id: str
    study: Any
    folder: Path

    @property
    def section(self) -> Sweep:
        """Of the experiment."""
        assert self.experiment.sweep is not None
        return self.experiment.sweep

    @property
    def name(self) -> str:
        """As people read it."""
        return f"sweep {self.section.model}"

    def ended(self) -> list[Trial]:
        """Trials that ended, by number."""
        return studies.finished_trials(self.study, self.section)

    def state_of(self, number: int) -> Path | None:
        """Where a trial leaves the state of its training, if that may be gone on with."""
        return self.folder / f"trial-{number}.npz" if self.section.winner == "continue" else None


@flow(name="sweep", validate_parameters=False)
def run_trials(search: Search, workers: int) -> None:
    """Start trials and close those that end.

    Args:
        search: what they share.
        workers: trials at once.

    Raises:
        DarkroomError: more of them failed than may, or the disk is full.
    """
    wanted, deadline = number_of_trials(search.section), time.monotonic() + (search.section.timeout or math.inf)
    ended, running = search.ended(), _Running()

    def may_start() -> bool:
        return len(ended) + len(running) < wanted and time.monotonic() < deadline

    with ended_with_block(), bar(search.name, wanted) as shown:
        shown.advance(len(ended))
        gpus = gpus_to_place(search.experiment.execution)
        if may_start():
            _share_work(search)
        while True:
            while len(running) < workers and may_start():
                slot = free_slot([used for *_, used in running.values()])
                future, trial, plan = _start(search, workers, gpus_of(slot, workers, gpus))
                running[future] = (trial, plan, slot)
            if not running:
                return
            future = next(as_completed(list(running)))
            trial, plan, _ = running.pop(future)
            ended.append(_close(search, future, trial, plan))
            shown.advance()
            shown.note(_tell(ended, len(running), search.section.metric))
            _check_failures(search, ended, wanted)


def _start(search: Search, workers: int, gpus: tuple[str, ...]) -> tuple[PrefectFuture[Any], Any, Plan]:
    trial = search.study.ask(distributions(search.section))
    values = decode(search.section, trial.params)
    model = trial_model(search.experiment, values)
    plan = Plan(
        name=f"trial {trial.number}: {tell_settings(values, short_names(values))}",
        study=search.study.study_name,
        number=trial.number,
        values=values,
        settings=settings_of(model),
        metric=search.section.metric,
        epochs=model.train.all_epochs,
        log=search.folder / f"trial-{trial.number}.log",
    )
    compute = share_of(search.experiment.execution.compute, workers)
    job = Job(model, search.manifest, compute, search.section.metric, search.state_of(trial.number), gpus)
    future = run_trial.submit(trial, plan, fit_trial, job, search.tags, search.run_id)
    return future, trial, plan


def _share_work(search: Search) -> None:
    """What trials share is computed before them, by all processors: else one would compute it, and the others wait."""
    model = trial_model(search.experiment, {})
    if not has_backbone(model):
        return
    job = Job(model, search.manifest, search.experiment.execution.compute, search.section.metric)
    run_isolated(share_work, (job,), lambda _: None, search.folder / "shared.log")


def _close(search: Search, future: PrefectFuture[Any], trial: Any, plan: Plan) -> Trial:
    """What became of a trial, told to Optuna.

    Raises:
        Exception: what the trial's task raised because the disk is full, or a server away: the others would fail too.
    """
    try:
        outcome = future.result(raise_on_failure=False)
    except Exception as error:  # of a cluster that lost the task
        outcome = error
    if isinstance(outcome, BaseException) and ends_all(outcome):
        raise outcome
    ended = _record(outcome, plan)
    studies.close_trial(search.study, trial, ended)
    return ended


def _record(outcome: Trial | BaseException, plan: Plan) -> Trial:
    if isinstance(outcome, Trial):
        return outcome
    if isinstance(outcome, TrialFailed):
        return outcome.trial
    return Trial(plan.number, "failed", plan.values, run_id="", reason=reason(outcome))


def _tell(ended: list[Trial], running: int, metric: str) -> str:
    """`5 ended, 1 of them pruned, 2 running; best val_accuracy 0.912, trial 3: dropout 0.4`."""
    states = [trial.state for trial in ended]
    parts = [f"{states.count(state)} of them {state}" for state in ("pruned", "failed") if state in states]
    told = ", ".join([f"{len(ended)} ended", *parts, *([f"{running} running"] if running else [])])
    best = find_best(ended, metric)
    if best is None:
        return told
    settings = tell_settings(best.params, short_names(best.params))
    return f"{told}; best {metric} {tell_value(best.value)}, trial {best.number}: {settings}"


def _check_failures(search: Search, ended: list[Trial], wanted: int) -> None:
    failed = [trial for trial in ended if trial.state == "failed"]
    if len(failed) > search.section.max_failed * wanted:
        raise DarkroomError(
            f"{search.name}: {len(failed)} of {wanted} trials failed, more than the share of "
            f"{search.section.max_failed:g} that sweep.max_failed allows: {tell_reasons(failed)}"
        )


def tell_reasons(trials: list[Trial]) -> str:
    """Each reason once."""
    return "; ".join(dict.fromkeys(trial.reason for trial in trials if trial.reason))
