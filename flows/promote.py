"""The best model by validation becomes challenger, and champion if its gates pass."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow
from prefect.runtime import flow_run

from pipeline_config.errors import GateRefused
from pipeline_config.experiment import Promotion
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.promote.gates import choose_challenger
from tasks.promote.task import promote_model
from tasks.records import Decision, EvaluatedModel
from tasks.tracking import RunTags


@flow(name="promote", validate_parameters=False)
def promote(models: list[EvaluatedModel], promotion: Promotion, tags: RunTags, run_id: str) -> Decision:
    """Choose the challenger by the validation metric and let the gates decide.

    Args:
        models: evaluated models of one pipeline, at least one.
        promotion: the experiment's section.
        tags: of the pipeline.
        run_id: on which the decision is recorded.
    """
    if promotion.mode == "disabled":
        return Decision("disabled", None, (), "promotion.mode is disabled")
    return promote_model(choose_challenger(models, promotion.metric), promotion, tags, run_id)


@flow(name="promote run")
def promote_run(run_id: str) -> Decision:
    """Propose one evaluated model of an earlier pipeline, with the gates that its experiment set then.

    It is asked for by a person, and so moves whatever `promotion.mode` was.

    Args:
        run_id: of its train run.

    Raises:
        GateRefused: a gate refused it; the decision is recorded all the same.
        DarkroomError: no such run, or none that was evaluated.
    """
    pipeline_run_id, experiment = tracking.find_configuration(run_id)
    with TemporaryDirectory(dir=Settings().cache) as folder:
        model, tags = tracking.find_evaluated(run_id, Path(folder))
        asked = experiment.promotion.model_copy(update={"mode": "enabled"})
        decision = promote_model(model, asked, replace(tags, flow_run_id=flow_run.id), pipeline_run_id)
    if decision.decision == "refused":
        raise GateRefused(f"{model.name} is not promoted: {decision.detail}")
    return decision
