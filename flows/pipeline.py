"""The whole chain: prepare, train, evaluate, promote, below one pipeline run in MLflow."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from prefect import flow
from prefect.runtime import flow_run

from flows.cluster import Runner
from flows.evaluate import evaluate, find_elsewhere
from flows.outcomes import Failure
from flows.prepare import Prepared, prepare, refuse_bad_data, say_warnings
from flows.promote import choose, promote
from flows.reconcile import reconcile_files, reconcile_runs
from flows.runners import runner_for
from flows.start import check_answerable, check_places, load_checked
from flows.sweep import Swept, sweep, with_winner
from flows.train import train
from pipeline_config.errors import DarkroomError, Unreachable
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.compare.task import log_comparison
from tasks.processes import open_nursery
from tasks.progress import say
from tasks.reasons import ends_all, reason
from tasks.records import Changed, Decision, EvaluatedModel, Manifest
from tasks.tracking import RunTags
from tasks.train.compute.threads import use_threads

# Prefect makes its own folder in the home, but not the one above it: a call from Python would wait for a server that
# cannot start. A home that cannot be made is left to the first who needs it and has words for it.
with suppress(OSError):
    Settings().home.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline run came to.

    Attributes:
        best: the model that was proposed: the best by the validation metric, or the cheapest of those tied with it.
        swept: what the experiment's sweep came to; None where it has none, or it failed.
        failures: models that failed, with the reason; the others are in `models`.
        seconds: wall time of each stage.
    """

    experiment: str
    pipeline_run_id: str
    data_digest: str
    models: tuple[EvaluatedModel, ...]
    best: EvaluatedModel
    decision: Decision
    failures: tuple[Failure, ...]
    seconds: dict[str, float]
    tracking_uri: str
    swept: Swept | None = None


class ModelsFailed(DarkroomError):
    """Some models failed; `result` holds what the others came to."""

    def __init__(self, result: PipelineResult) -> None:
        reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in result.failures)
        super().__init__(f"{len(result.failures)} of the models failed, the others are evaluated: {reasons}")
        self.result = result
        self.answer: dict[str, object] = {"status": "failed_models"}


@dataclass
class Clock:
    """Wall time of named stages."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - started


@flow(name="pipeline", flow_run_name="{experiment}")
def pipeline(
    experiment: str, overrides: list[str] | None = None, sweep_only: bool = False, changed: Changed | None = None
) -> PipelineResult:
    """Run an experiment from its data to the registry's decision.

    Args:
        experiment: a shipped experiment's name, or the path of a YAML file.
        overrides: `dotted.key=value`, as with `--set`.
        sweep_only: leave the other models and the registry out.
        changed: why it is run, as a schedule found it; kept in `changes/` of the run and as its description.

    Raises:
        ConfigurationError: the file or an override is wrong.
        DataError: the data failed validation; nothing was trained.
        ModelsFailed: some models failed; the others were trained, evaluated and considered for promotion.
    """
    check_places(Settings())
    config = load_checked(experiment, overrides or [], sweep_only)
    check_answerable(config.promotion, Settings())
    use_threads(config.execution.compute.threads)
    for sentence in [*reconcile_runs(), *reconcile_files()]:
        say(sentence)
    tags = RunTags(config.name, tracking.config_digest(config), flow_run.id)
    with tracking.pipeline_held(tags) as alone, _open_run(tags, may_go_on=alone) as run_id:
        tracking.log_configuration(run_id, config)
        if changed:
            tracking.log_changes(run_id, changed)
        result = _run_stages(config, tags, run_id)
        tracking.log_metrics(run_id, result.best.metrics)
        tracking.set_tags(run_id, {"darkroom.best_model": result.best.name})
        if result.failures:
            raise ModelsFailed(result)
    return result


def _open_run(tags: RunTags, may_go_on: bool) -> AbstractContextManager[str]:
    """The run of this pipeline: that of the same one which was interrupted, if there is one, else a new one."""
    interrupted = tracking.find_interrupted(tags) if may_go_on else None
    if interrupted is None:
        return tracking.run("pipeline", f"pipeline {tags.experiment}", tags)
    say(f"going on with the pipeline run {interrupted}, which did not end well; what it has finished is kept")
    return tracking.reopened(interrupted, tags.as_tags("pipeline"))


def _run_stages(config: Experiment, tags: RunTags, run_id: str) -> PipelineResult:
    clock = Clock()
    with clock.stage("prepare"):
        prepared = _prepare(config, run_id)
        elsewhere = find_elsewhere(config, prepared.manifest)  # now, since a wrong folder must not cost a training
    manifest = prepared.manifest
    tags = replace(tags, data_digest=manifest.digest, test_digest=manifest.test_digest)
    tracking.set_tags(run_id, tags.as_tags("pipeline"))
    swept, not_swept = None, None
    with _runner_of(config) as runner:
        if config.sweep and runner:
            with clock.stage("sweep"):
                swept, not_swept = _sweep(config, manifest, tags, run_id, runner)
            config = with_winner(config, swept)
        states = {swept.model.name: swept.begin_with} if swept and swept.begin_with else {}
        with clock.stage("train"):
            trained, not_trained = train(config, manifest, tags, run_id, states, runner)
    if config.promotion.servable and config.promotion.mode != "disabled":
        open_nursery(models_alone=True)  # which imports meanwhile what the gate `servable` needs
    with clock.stage("evaluate"):
        evaluated, not_evaluated = evaluate(trained, manifest, elsewhere)
    failures = (*([not_swept] if not_swept else []), *not_trained, *not_evaluated)
    if not evaluated:
        raise _all_failed(failures)
    with clock.stage("promote"):
        decision = promote(evaluated, config.promotion, tags, run_id, manifest)
    with clock.stage("compare"):
        _compare(evaluated, run_id, manifest)
    best = choose(evaluated, config.promotion, manifest).model
    return PipelineResult(
        experiment=config.name,
        pipeline_run_id=run_id,
        data_digest=manifest.digest,
        models=tuple(evaluated),
        best=best,
        decision=decision,
        failures=failures,
        seconds=clock.seconds,
        tracking_uri=Settings().tracking_uri,
        swept=swept,
    )


def _runner_of(config: Experiment) -> AbstractContextManager[Runner | None]:
    """One for the sweep and the trainings after it: a cluster's workers import TensorFlow once."""
    needed = config.sweep or config.execution.trains_side_by_side
    return runner_for(config.execution) if needed else nullcontext()


def _sweep(
    config: Experiment, manifest: Manifest, tags: RunTags, run_id: str, runner: Runner
) -> tuple[Swept | None, Failure | None]:
    """What the sweep came to, or why it failed: the other models are trained in either case."""
    assert config.sweep is not None
    try:
        return sweep(config, manifest, tags, run_id, runner), None
    except DarkroomError as error:
        if ends_all(error):
            raise
        say(f"the sweep of {config.sweep.model} failed: {reason(error)}")
        return None, Failure(config.sweep.model, reason(error), isinstance(error, Unreachable))


def _all_failed(failures: Sequence[Failure]) -> DarkroomError:
    reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
    kind = Unreachable if all(failure.unreachable for failure in failures) else DarkroomError
    return kind(f"every model failed: {reasons}")


def _compare(evaluated: list[EvaluatedModel], run_id: str, manifest: Manifest) -> None:
    """The models side by side in the pipeline's run; where that fails, nothing else is lost."""
    error = log_comparison(evaluated, run_id, manifest, return_state=True).result(raise_on_failure=False)
    if isinstance(error, BaseException):
        say(f"warning: the comparison of the models could not be logged: {reason(error)}")


def _prepare(config: Experiment, run_id: str) -> Prepared:
    prepared = prepare(config)
    tracking.log_files(run_id, prepared.report.folder, "data")
    tracking.log_data(run_id, prepared.listing, prepared.manifest)
    refuse_bad_data(prepared)
    say_warnings(prepared.report)
    return prepared
