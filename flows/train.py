"""Every model of the experiment, one after the other, each a train run; one that fails does not lose the others."""

from dataclasses import dataclass

from prefect import flow

from pipeline_config.experiment import Experiment
from tasks.progress import say
from tasks.records import Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.task import failure_sentence, train_model


@dataclass(frozen=True)
class Failure:
    """A model that could not be trained or evaluated, and why, in a sentence."""

    name: str
    reason: str


@flow(name="train", validate_parameters=False)
def train(
    experiment: Experiment, manifest: Manifest, tags: RunTags, parent_run_id: str
) -> tuple[list[TrainedModel], list[Failure]]:
    """Train all models; returns those that ended well and those that did not."""
    trained, failures = [], []
    for model in experiment.models:
        state = train_model(model, manifest, tags, parent_run_id, return_state=True)
        outcome = state.result(raise_on_failure=False)
        if isinstance(outcome, TrainedModel):
            trained.append(outcome)
        else:
            failures.append(Failure(model.name, failure_sentence(outcome)))
            say(f"{model.name} failed: {failures[-1].reason}")
    return trained, failures
