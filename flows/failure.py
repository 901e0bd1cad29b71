"""A scheduled run that failed: a run in MLflow says why, whether or not the pipeline came to make one."""

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State

from flows.notices import Notice, link_to, tell
from flows.reconcile import reconcile_runs
from pipeline_config.errors import DarkroomError
from pipeline_config.loading import load_experiment
from tasks import tracking
from tasks.progress import say
from tasks.reasons import reason
from tasks.tracking import RunTags


def tell_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of a flow run that failed, or whose process died; the worker calls it then."""
    because, experiment, run_id = _why(state), _name_of(flow_run.parameters), None
    try:
        reconcile_runs()
        run_id = _find_or_record(flow_run, experiment, because)
    except Exception as error:
        say(f"warning: MLflow could not be told that {flow.name} failed: {reason(error)}")
    tell(Notice(experiment, "failed", because, run_id=run_id, link=link_to(run_id)), str(flow_run.id))


def _why(state: State[Any]) -> str:
    """In one line; of a process that died only its worker's words are known."""
    if state.is_failed():
        found = state.result(raise_on_failure=False)
        if isinstance(found, BaseException):
            return reason(found)
    return state.message or state.name or "unknown"


def _name_of(parameters: dict[str, Any]) -> str:
    """The experiment's name; where its file is wrong, that of the file."""
    experiment = str(parameters.get("experiment", "unknown"))
    for overrides in (parameters.get("overrides") or [], []):
        with suppress(DarkroomError):
            return load_experiment(experiment, overrides).name
    return Path(experiment).stem


def _find_or_record(run: FlowRun, experiment: str, because: str) -> str:
    """The run in MLflow that says why: the pipeline's, or where it was not made yet one of its own."""
    with get_client(sync_client=True) as client:
        below = client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id={"any_": [UUID(str(run.id))]}))
    found = tracking.find_pipeline_run([str(one.id) for one in below], experiment)
    return found or tracking.record_failure(RunTags(experiment, "", str(run.id)), because)
