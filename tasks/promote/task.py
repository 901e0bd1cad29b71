"""Promotion and rollback as Prefect tasks."""

from prefect import task
from prefect.runtime import flow_run

from pipeline_config.experiment import Promotion
from tasks.promote.promotion import propose, roll_back
from tasks.records import Decision, EvaluatedModel
from tasks.tracking import RunTags


@task(name="promote")
def promote_model(challenger: EvaluatedModel, promotion: Promotion, tags: RunTags, run_id: str) -> Decision:
    """Hold the challenger against its gates, and move the aliases as they decide."""
    return propose(challenger, promotion, tags, run_id)


@task(name="rollback")
def roll_back_model(name: str) -> Decision:
    """Put the version before the champion back."""
    return roll_back(name, flow_run.id)
