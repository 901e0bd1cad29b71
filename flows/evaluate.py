"""Every trained model meets the test rows."""

from prefect import flow

from flows.outcomes import Failure, collect
from tasks.evaluate.task import evaluate_model
from tasks.records import EvaluatedModel, Manifest, TrainedModel


@flow(name="evaluate", validate_parameters=False)
def evaluate(trained: list[TrainedModel], manifest: Manifest) -> tuple[list[EvaluatedModel], list[Failure]]:
    """Evaluate all models; returns those that ended well and those that did not."""
    outcomes = ((model.name, evaluate_model(model, manifest, return_state=True)) for model in trained)
    return collect(outcomes, EvaluatedModel)
