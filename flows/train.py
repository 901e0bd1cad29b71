"""Every model of the experiment, one after the other, each a train run; one that fails does not lose the others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.outcomes import Failure, collect
from pipeline_config.experiment import Experiment, Model
from tasks import tracking
from tasks.progress import say
from tasks.records import Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.task import train_model


@flow(name="train", validate_parameters=False)
def train(
    experiment: Experiment,
    manifest: Manifest,
    tags: RunTags,
    parent_run_id: str,
    begin_with: Mapping[str, Path] | None = None,
) -> tuple[list[TrainedModel], list[Failure]]:
    """Train all models, those in `begin_with` on from a state; returns those that ended well and those that did not.

    A model that was trained below the same pipeline run before it was interrupted is not trained again.
    """
    compute, states = experiment.execution.compute, begin_with or {}

    def outcome(model: Model) -> State[Any]:
        finished = tracking.find_finished_model(parent_run_id, tracking.model_digest(model, compute), tags)
        if finished:
            say(f"{model.name} was trained before the interruption")
            return Completed(data=finished)
        return train_model(model, manifest, tags, parent_run_id, compute, states.get(model.name), return_state=True)

    return collect(((model.name, outcome(model)) for model in experiment.models), TrainedModel)
