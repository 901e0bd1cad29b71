"""What killed processes left behind is brought in order, before every run and by hand: runs, flow runs, files."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect import tags
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from tasks import tracking
from tasks.leftovers import remove_leftovers
from tasks.progress import say
from tasks.promote.task import limit_held
from tasks.tracking import LeftOpen

MARK = "darkroom.owner="
"""Beginning of the tag of a flow run that names its process."""
_CRASHED = "its process ended without a word, as by kill -9 or a power cut"


def reconcile_all() -> dict[str, Any]:
    """All of it, and aliases with records of every experiment that has a registered model; tells what was done."""
    general = [*reconcile_runs(), *reconcile_files()]
    experiments = {}
    for name in tracking.registered_names():
        with limit_held(name), tracking.registry_held(name):
            experiments[name] = tracking.reconcile(name)
    for sentence in general:
        say(sentence)
    for name, sentences in experiments.items():
        for sentence in sentences or ["aliases and records agree"]:
            say(f"{name}: {sentence}")
    if not general and not experiments:
        say("nothing was left in disorder, and no experiment has a registered model yet")
    return {"status": "done", "done": general, "experiments": experiments}


def reconcile_runs() -> list[str]:
    """Runs that are RUNNING in MLflow, and in Prefect, though their process is gone; a sentence for each of MLflow's.

    Prefect comes first: MLflow tells which of its flow runs are meant.
    """
    left = tracking.find_left_open()
    with get_client(sync_client=True) as client:
        for flow_run_id in {run.flow_run_id for run in left if run.flow_run_id} | _marked(client):
            _crash(client, flow_run_id)
    for run in left:
        tracking.close_left_open(run)
    return [_sentence(run) for run in left]


@contextmanager
def marked_flows() -> Iterator[None]:
    """Flow runs that begin within it carry the mark of this process."""
    with tags(f"{MARK}{tracking.owner()}"):
        yield


def mark_flow_run(flow_run_id: str) -> None:
    """A flow run that was begun by a worker, and not within `marked_flows`, gets the mark of this process."""
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(flow_run_id))
        client.update_flow_run(own.id, tags=[*own.tags, f"{MARK}{tracking.owner()}"])


def _sentence(run: LeftOpen) -> str:
    return f"{run.experiment}: run {run.name} ({run.run_id}) was RUNNING, its process gone: now KILLED"


def reconcile_files() -> list[str]:
    """Files that killed processes were writing; none is touched while another process is at work in the home."""
    if not tracking.is_alone():
        return []
    count = remove_leftovers()
    return [f"{count} half-written files and folders removed"] if count else []


def _marked(client: SyncPrefectClient) -> set[str]:
    """Flow runs that have not ended, with the mark of a process that has: MLflow may not have heard of them yet."""
    states = FlowRunFilterState(type={"any_": [StateType.PENDING, StateType.RUNNING]})
    going_on = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=states))
    return {str(run.id) for run in going_on if any(map(_marks_the_dead, run.tags))}


def _marks_the_dead(tag: str) -> bool:
    return tag.startswith(MARK) and tracking.has_ended(tag.removeprefix(MARK))


def _crash(client: SyncPrefectClient, flow_run_id: str) -> None:
    """A flow run with what runs below it is Crashed; one that Prefect does not know, or that has ended, stays."""
    try:
        found = client.read_flow_run(UUID(flow_run_id))
    except ObjectNotFound:
        return
    state: State[Any] = Crashed(message=_CRASHED)
    for task_run in client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [found.id]})):
        if task_run.state and not task_run.state.is_final():
            client.set_task_run_state(task_run.id, state, force=True)
    for below in client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id={"any_": [found.id]})):
        _crash(client, str(below.id))
    if found.state and not found.state.is_final():
        client.set_flow_run_state(found.id, state, force=True)
