"""Every trained model meets the test rows."""

from prefect import flow

from flows.train import Failure
from tasks.evaluate.task import evaluate_model
from tasks.progress import say
from tasks.records import EvaluatedModel, Manifest, TrainedModel
from tasks.train.task import failure_sentence


@flow(name="evaluate", validate_parameters=False)
def evaluate(trained: list[TrainedModel], manifest: Manifest) -> tuple[list[EvaluatedModel], list[Failure]]:
    """Evaluate all models; returns those that ended well and those that did not."""
    evaluated, failures = [], []
    for model in trained:
        outcome = evaluate_model(model, manifest, return_state=True).result(raise_on_failure=False)
        if isinstance(outcome, EvaluatedModel):
            evaluated.append(outcome)
        else:
            failures.append(Failure(model.name, failure_sentence(outcome)))
            say(f"{model.name} failed: {failures[-1].reason}")
    return evaluated, failures
