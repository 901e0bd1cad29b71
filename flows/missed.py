"""Runs that were missed while no worker was there: one is made up for, and not each of them.

Prefect keeps every run that came due, and a worker that is back would run them all.
"""

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

SKIPPED = "Skipped"
"""Name of the state of a run that was left out on purpose."""


def made_up_for(flow_run_id: str) -> str | None:
    """A sentence where another run of the deployment began since this one was due; it has done the work.

    Where there is none, this run does it, for all that are due by now too: they are cancelled. Only runs with the same
    parameters count.
    """
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(flow_run_id))
        due = own.expected_start_time
        if own.deployment_id is None or due is None:
            return None
        others = [run for run in _latest_runs(client, own.deployment_id) if _is_same(run, own)]
        for run in others:
            if run.start_time and run.start_time > due and _has_done_it(run):
                return f"missed at {due:%Y-%m-%d %H:%M} UTC, and made up for by the run {run.name}, which began later"
        for run in others:
            if _is_due(run):
                because = f"missed, and made up for by the run {own.name}"
                client.set_flow_run_state(run.id, Cancelled(name=SKIPPED, message=because), force=True)
    return None


def _latest_runs(client: SyncPrefectClient, deployment_id: UUID) -> list[FlowRun]:
    """Of a deployment; those to come and the last ones."""
    this = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    return client.read_flow_runs(deployment_filter=this, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=200)


def _is_same(run: FlowRun, own: FlowRun) -> bool:
    return run.id != own.id and run.parameters == own.parameters


def _has_done_it(run: FlowRun) -> bool:
    """Not one that failed, or was left out itself."""
    if run.state is None or run.state.name == SKIPPED:
        return False
    return run.state.type in {StateType.RUNNING, StateType.COMPLETED}


def _is_due(run: FlowRun) -> bool:
    if run.state is None or run.expected_start_time is None:
        return False
    return run.state.type is StateType.SCHEDULED and run.expected_start_time <= datetime.now(UTC)
