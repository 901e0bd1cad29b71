"""Every model of the experiment, each a train run; one that fails does not lose the others.

One after the other in this process, or side by side in processes of their own, here or on the workers of a cluster.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed, Failed

from flows.cluster import Runner
from flows.outcomes import Failure, collect
from flows.placement import free_slot, gpus_of, gpus_to_place, share_of
from pipeline_config.experiment import Experiment, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.input_pipeline import open_image_set
from tasks.processes import ended_with_block
from tasks.progress import bar, say
from tasks.records import Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.task import train_model, train_model_apart
from tasks.train.training import Training

_States = Mapping[str, Path]


def train(
    experiment: Experiment,
    manifest: Manifest,
    tags: RunTags,
    parent_run_id: str,
    begin_with: _States,
    runner: Runner | None,
) -> tuple[list[TrainedModel], list[Failure]]:
    """Train all models; returns those that ended well and those that did not.

    A model that was trained below the same pipeline run before it was interrupted is not trained again.

    Args:
        experiment: with its models.
        manifest: of the data.
        tags: of the pipeline.
        parent_run_id: the pipeline's run.
        begin_with: states that some models, by name, go on from.
        runner: that the experiment asks for; may be None where models are trained one after the other.
    """
    about = (experiment, manifest, tags, parent_run_id, begin_with)
    if runner is None or not experiment.execution.trains_side_by_side:
        return train_in_turn(*about)
    open_image_set(manifest, Settings().cache)  # decoded here, once
    workers = max(1, min(runner.workers, len(experiment.models)))
    return train_side_by_side.with_options(task_runner=runner.task_runner)(*about, workers)


@flow(name="train", validate_parameters=False)
def train_in_turn(
    experiment: Experiment, manifest: Manifest, tags: RunTags, parent_run_id: str, begin_with: _States
) -> tuple[list[TrainedModel], list[Failure]]:
    """One model after the other, in this process."""
    compute = experiment.execution.compute

    def outcome(model: Model) -> State[Any]:
        finished = _find_finished(model, experiment, tags, parent_run_id)
        if finished:
            return Completed(data=finished)
        return train_model(model, manifest, tags, parent_run_id, compute, begin_with.get(model.name), return_state=True)

    return collect(((model.name, outcome(model)) for model in experiment.models), TrainedModel)


@flow(name="train", validate_parameters=False)
def train_side_by_side(
    experiment: Experiment, manifest: Manifest, tags: RunTags, parent_run_id: str, begin_with: _States, workers: int
) -> tuple[list[TrainedModel], list[Failure]]:
    """As many models at once as there are workers, each in a process with its share of the machine."""
    compute, gpus = experiment.execution.compute, gpus_to_place(experiment.execution)

    def start(model: Model, slot: int) -> PrefectFuture[Any]:
        share, on = share_of(compute, workers), gpus_of(slot, workers, gpus)
        training = Training(model, manifest, tags, share, begin_with.get(model.name), on)
        return train_model_apart.submit(training, compute, parent_run_id)

    def outcomes() -> Iterator[tuple[str, State[Any]]]:
        unfinished = []
        for model in experiment.models:
            finished = _find_finished(model, experiment, tags, parent_run_id)
            if finished:
                yield model.name, Completed(data=finished)
            else:
                unfinished.append(model)
        yield from _as_they_end(unfinished, start, workers)

    with ended_with_block(), bar("training models", len(experiment.models)) as shown:
        trained, failures = collect(_counted(outcomes(), shown), TrainedModel)
    order = [model.name for model in experiment.models]
    return sorted(trained, key=lambda model: order.index(model.name)), failures


def _find_finished(model: Model, experiment: Experiment, tags: RunTags, parent_run_id: str) -> TrainedModel | None:
    digest = tracking.model_digest(model, experiment.execution.compute)
    finished = tracking.find_finished_model(parent_run_id, digest, tags)
    if finished:
        say(f"{model.name} was trained before the interruption")
    return finished


def _as_they_end(models: list[Model], start: Any, workers: int) -> Iterator[tuple[str, State[Any]]]:
    """Name and outcome of each model; one is started as soon as a slot is free, which it is told."""
    waiting, running = list(models), dict[PrefectFuture[Any], tuple[Model, int]]()
    while waiting or running:
        while waiting and len(running) < workers:
            slot = free_slot(used for _, used in running.values())
            model = waiting.pop(0)
            running[start(model, slot)] = (model, slot)
        future = next(as_completed(list(running)))
        model, _ = running.pop(future)
        yield model.name, _outcome(future)


def _outcome(future: PrefectFuture[Any]) -> State[Any]:
    """Also of a task that a cluster lost."""
    try:
        result = future.result(raise_on_failure=False)
    except Exception as error:
        result = error
    return Failed(data=result) if isinstance(result, BaseException) else Completed(data=result)


def _counted(outcomes: Iterator[tuple[str, State[Any]]], shown: Any) -> Iterator[tuple[str, State[Any]]]:
    for outcome in outcomes:
        yield outcome
        shown.advance()
