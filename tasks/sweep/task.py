"""One trial of a sweep, and the report on all of them, as Prefect tasks."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from pipeline_config.sweep import Sweep
from tasks import tracking
from tasks.processes import WorkFailed, ended_with_block, run_isolated
from tasks.records import Trial
from tasks.sweep.report import report_work
from tasks.tracking import RunTags

_SECONDS_APART = 5.0
"""Between writings of curves: through a server each takes a tenth of a second, and an epoch may take no longer."""


@dataclass(frozen=True)
class Plan:
    """What is known of a trial before it starts.

    Attributes:
        name: as MLflow and Prefect show it.
        study: name of the study.
        number: in the study.
        values: what is varied: dotted key -> value.
        settings: of the model, nested, for the run's params.
        metric: that is reported after every epoch, as `val_accuracy`.
        epochs: at most; after the last nothing is saved by pruning.
        log: file for what the trial's process writes.
    """

    name: str
    study: str
    number: int
    values: dict[str, Any]
    settings: dict[str, Any]
    metric: str
    epochs: int
    log: Path


class TrialFailed(DarkroomError):
    """A trial ended without a result; its record says why."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.reason)
        self.trial = trial

    def __reduce__(self) -> Any:
        return TrialFailed, (self.trial,)


@task(name="run trial", task_run_name="{plan.name}", cache_policy=NO_CACHE)
def run_trial(trial: Any, plan: Plan, work: Callable[..., Any], job: Any, tags: RunTags, sweep_run_id: str) -> Trial:
    """Train one trial in a process of its own and log it below the sweep's run.

    Args:
        trial: Optuna's, in the state in which it was asked for.
        plan: what is known of it.
        work: trains it, see `tasks/processes.py`; tells the epochs that are new, and is answered whether to end.
        job: what the work is given.
        tags: of the pipeline.
        sweep_run_id: the run that this one is shown below.

    Raises:
        TrialFailed: the training failed, or its process ended.
    """
    started = time.perf_counter()
    with tracking.run("trial", plan.name, tags, sweep_run_id) as run_id:
        tracking.mark_trial(run_id, plan.study, plan.number)
        tracking.log_params(run_id, plan.settings)
        curves = _Curves(run_id, trial, plan)
        try:
            with curves:
                fit = run_isolated(work, (job,), curves.hear, plan.log)
        except WorkFailed as error:
            curves.write()
            raise TrialFailed(_record(plan, run_id, "failed", curves.epochs, reason=str(error))) from None
        curves.take({metric: values[curves.epochs :] for metric, values in fit.history.items()})
        curves.write()
        plan.log.unlink(missing_ok=True)  # for whom a process's last lines explain its end
        if fit.interval is None:
            return _log_pruned(plan, run_id, curves)
        return _log_complete(plan, run_id, fit, time.perf_counter() - started)


@dataclass
class _Curves:
    """The epochs of a trial, on their way to Optuna at once and to MLflow every few seconds.

    Within the block another thread writes them: while the server is away they wait here, and the training goes on.
    """

    run_id: str
    trial: Any
    plan: Plan
    history: dict[str, list[float]] = field(default_factory=dict)
    written: int = 0
    when: float = field(default_factory=time.monotonic)
    writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "curves"))
    writing: Future[None] | None = None

    def __enter__(self) -> None:
        """Writing begins with what is heard."""

    def __exit__(self, *_: object) -> None:
        self.writer.shutdown()

    @property
    def epochs(self) -> int:
        return len(self.history.get(self.plan.metric, []))

    def hear(self, news: dict[str, list[float]]) -> bool:
        """Whether the trial is to end, since others were better at the same epoch."""
        self.take(news)
        if time.monotonic() - self.when >= _SECONDS_APART and (self.writing is None or self.writing.done()):
            self.writing = self.writer.submit(self._log, *self._unwritten())
        return self.epochs < self.plan.epochs and bool(self.trial.should_prune())

    def take(self, news: dict[str, list[float]]) -> None:
        for epoch, value in enumerate(news.get(self.plan.metric, []), self.epochs + 1):
            self.trial.report(value, epoch)
        for metric, values in news.items():
            self.history.setdefault(metric, []).extend(values)

    def write(self) -> None:
        self._log(*self._unwritten())

    def _unwritten(self) -> tuple[dict[str, list[float]], int]:
        self.when = time.monotonic()
        return {metric: values[self.written :] for metric, values in self.history.items()}, self.epochs

    def _log(self, unwritten: dict[str, list[float]], epochs: int) -> None:
        tracking.log_history(self.run_id, unwritten, self.written + 1)
        self.written = epochs  # not before: what could not be written is written with the next


def _log_complete(plan: Plan, run_id: str, fit: Any, seconds: float) -> Trial:
    chosen, low, high = f"chosen_{plan.metric}", fit.interval.low, fit.interval.high
    metrics = {**fit.metrics, "trial_seconds": seconds}
    tracking.log_params(run_id, {"compute": fit.settings})
    tracking.log_metrics(run_id, {**metrics, f"{chosen}_low": low, f"{chosen}_high": high})
    tracking.set_tags(run_id, {"darkroom.trial_state": "complete", "darkroom.compute": fit.reason})
    value, epochs = fit.metrics[chosen], len(fit.history[plan.metric])
    return _record(plan, run_id, "complete", epochs, value=value, low=low, high=high, metrics=metrics)


def _log_pruned(plan: Plan, run_id: str, curves: _Curves) -> Trial:
    sentence = f"Pruned after epoch {curves.epochs} of {plan.epochs}: other trials were better by then."
    tracking.set_tags(run_id, {"darkroom.trial_state": "pruned", "mlflow.note.content": sentence})
    return _record(plan, run_id, "pruned", curves.epochs, value=curves.history[plan.metric][-1])


def _record(plan: Plan, run_id: str, state: str, epochs: int, **more: Any) -> Trial:
    return Trial(plan.number, state, plan.values, run_id, epochs=epochs, **more)


@task(name="report sweep", cache_policy=NO_CACHE)
def report_sweep(study: Any, trials: list[Trial], sweep: Sweep, run_id: str, images: int) -> None:
    """The report in `sweep/` of the sweep's run, its table as Prefect artifact.

    Args:
        study: Optuna's.
        trials: that ended.
        sweep: the section.
        run_id: of the sweep.
        images: that the trials were validated on.
    """
    with TemporaryDirectory(dir=Settings().cache) as folder:
        about, log = (study, trials, sweep, Path(folder), images), Settings().sweeps / study.study_name / "report.log"
        with ended_with_block():  # a process that has the libraries for drawing already, and takes their memory with it
            run_isolated(report_work, about, lambda _: None, log)
        log.unlink(missing_ok=True)
        tracking.log_files(run_id, Path(folder), "sweep")
        create_markdown_artifact((Path(folder) / "report.md").read_text(encoding="utf-8"), key="sweep")
