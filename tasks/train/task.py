"""Train one model as a Prefect task: in this process, or in one of its own beside others."""

import contextlib
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from pipeline_config.errors import Unreachable
from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.disk import is_disk_full
from tasks.processes import WorkFailed, run_isolated
from tasks.progress import say
from tasks.records import Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.training import Training, train_and_log, train_apart


def _may_pass(task: Any, task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect calls it with these
    """Try again only what another try can mend: input and output, not a wrong setting or a lost loss."""
    error = state.result(raise_on_failure=False)
    kind = error.kind if isinstance(error, WorkFailed) else type(error)
    return issubclass(kind, OSError) and not issubclass(kind, FileNotFoundError) and not is_disk_full(error)


@task(
    name="train model",
    task_run_name="train {model.name}",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_may_pass,
)
def train_model(
    model: Model,
    manifest: Manifest,
    tags: RunTags,
    parent_run_id: str,
    compute: Compute,
    begin_with: Path | None = None,
) -> TrainedModel:
    """Fit one model, on every fold first, log it with its curves, and choose nothing by test rows.

    Args:
        model: its section.
        manifest: of the data.
        tags: of the pipeline.
        parent_run_id: the pipeline's run.
        compute: what of the computation is set by hand.
        begin_with: state of a training with the same settings and fewer epochs, to be gone on with.
    """
    with tracking.train_run(model, compute, tags, parent_run_id) as run_id:
        return train_and_log(run_id, Training(model, manifest, tags, compute, begin_with))


@task(
    name="train model",
    task_run_name="train {training.model.name}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_may_pass,
)
def train_model_apart(training: Training, compute: Compute, parent_run_id: str) -> TrainedModel:
    """As `train_model`, in a process of its own, here or on a cluster's worker; its run ends as the process does.

    Args:
        training: with its share of the machine.
        compute: as the experiment has it, by which the model is known again.
        parent_run_id: the pipeline's run.

    Raises:
        WorkFailed: the training failed, or its process ended.
        Unreachable: a server did not answer.
    """
    with tracking.train_run(training.model, compute, training.tags, parent_run_id) as run_id:
        log = Settings().cache / "training" / f"{run_id}.log"
        try:
            trained: TrainedModel = run_isolated(train_apart, (run_id, training), _say_of(training.model), log)
        except BaseException as error:
            with contextlib.suppress(Exception):  # what went wrong first is to be told
                tracking.close_all_left_open()  # runs of folds, whose process has ended
            if isinstance(error, WorkFailed) and error.kind is Unreachable:
                raise Unreachable(str(error)) from None
            raise
        log.unlink(missing_ok=True)
    return trained


def _say_of(model: Model) -> Any:
    """What a training says is told with its name, since others speak too."""
    return lambda sentence: say(sentence if model.name in sentence else f"{model.name}: {sentence}")
