"""What a pipeline and a training alone have in common: one run in MLflow, and below it all up to trained models."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from prefect.runtime import flow_run

from flows.cluster import Runner
from flows.evaluate import find_elsewhere
from flows.outcomes import Failure
from flows.prepare import Prepared, prepare, refuse_bad_data, say_warnings
from flows.reconcile import reconcile_files, reconcile_runs
from flows.runners import runner_for
from flows.sweep import Swept, sweep, with_winner
from flows.train import train
from pipeline_config.errors import DarkroomError, Unreachable
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import say
from tasks.reasons import ends_all, reason
from tasks.records import Elsewhere, Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.compute.threads import use_threads

# Prefect makes its own folder in the home, but not the one above it: a flow called from Python would wait for a server
# that cannot start. A home that cannot be made is left to the first who needs it and has words for it.
with suppress(OSError):
    Settings().home.mkdir(parents=True, exist_ok=True)


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


@dataclass(frozen=True)
class Trained:
    """Models that have not met the test rows.

    Attributes:
        manifest: of the data.
        elsewhere: images that the models are to meet beside the test rows.
        tags: of the run, with the digests of the data.
        models: that were trained.
        failures: models that were not, with the reason.
        swept: what the experiment's sweep came to; None where it has none, or it failed.
    """

    manifest: Manifest
    elsewhere: Elsewhere
    tags: RunTags
    models: list[TrainedModel]
    failures: tuple[Failure, ...]
    swept: Swept | None


@dataclass(frozen=True)
class OpenRun:
    """The run in MLflow below which all others of a flow are shown.

    Attributes:
        kind: pipeline, or training.
        tags: of the run; not yet those of the data.
    """

    id: str
    kind: str
    tags: RunTags


@contextmanager
def open_run(config: Experiment, kind: str) -> Iterator[OpenRun]:
    """A flow's own run, for a block in it; what was interrupted before is closed.

    It is the run of the same flow which was interrupted, if there is one, else a new one.

    Args:
        config: which is logged to it.
        kind: pipeline, or training.
    """
    use_threads(config.execution.compute.threads)
    for sentence in [*reconcile_runs(), *reconcile_files()]:
        say(sentence)
    tags = RunTags(config.name, tracking.config_digest(config), flow_run.id)
    with tracking.pipeline_held(tags) as alone, _opened(tags, kind, may_go_on=alone) as run_id:
        tracking.log_configuration(run_id, config)
        yield OpenRun(run_id, kind, tags)


def _opened(tags: RunTags, kind: str, may_go_on: bool) -> AbstractContextManager[str]:
    interrupted = tracking.find_interrupted(tags, kind) if may_go_on else None
    if interrupted is None:
        return tracking.run(kind, f"{kind} {tags.experiment}", tags)
    say(f"going on with the {kind} run {interrupted}, which did not end well; what it has finished is kept")
    return tracking.reopened(interrupted, tags.as_tags(kind))


def prepare_and_train(config: Experiment, run: OpenRun, clock: Clock) -> Trained:
    """The data, the sweep if there is one, and every model.

    Args:
        config: what is asked for.
        run: of the flow.
        clock: that times the stages.

    Raises:
        DataError: the data failed validation; nothing was trained.
    """
    with clock.stage("prepare"):
        prepared = _prepare(config, run.id)
        elsewhere = find_elsewhere(config, prepared.manifest)  # now, since a wrong folder must not cost a training
    manifest = prepared.manifest
    tags = replace(run.tags, data_digest=manifest.digest, test_digest=manifest.test_digest)
    tracking.set_tags(run.id, tags.as_tags(run.kind))
    swept, not_swept = None, None
    with _runner_of(config) as runner:
        if config.sweep and runner:
            with clock.stage("sweep"):
                swept, not_swept = _sweep(config, manifest, tags, run.id, runner)
            config = with_winner(config, swept)
        states = {swept.model.name: swept.begin_with} if swept and swept.begin_with else {}
        with clock.stage("train"):
            models, not_trained = train(config, manifest, tags, run.id, states, runner)
    failures = (*([not_swept] if not_swept else []), *not_trained)
    return Trained(manifest, elsewhere, tags, models, failures, swept)


def all_failed(failures: Sequence[Failure]) -> DarkroomError:
    """The error where no model is left."""
    reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
    kind = Unreachable if all(failure.unreachable for failure in failures) else DarkroomError
    return kind(f"every model failed: {reasons}")


def _prepare(config: Experiment, run_id: str) -> Prepared:
    prepared = prepare(config)
    tracking.log_files(run_id, prepared.report.folder, "data")
    tracking.log_data(run_id, prepared.listing, prepared.manifest)
    refuse_bad_data(prepared)
    say_warnings(prepared.report)
    return prepared


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
