"""Every model of the experiment, one after the other, each a train run; one that fails does not lose the others."""

from collections.abc import Mapping
from pathlib import Path

from prefect import flow

from flows.outcomes import Failure, collect
from pipeline_config.experiment import Experiment
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
    """Train all models, those in `begin_with` on from a state; returns those that ended well and those that did not."""
    compute, states = experiment.execution.compute, begin_with or {}
    outcomes = (
        (
            model.name,
            train_model(model, manifest, tags, parent_run_id, compute, states.get(model.name), return_state=True),
        )
        for model in experiment.models
    )
    return collect(outcomes, TrainedModel)
