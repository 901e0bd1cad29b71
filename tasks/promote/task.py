"""Promotion, what a person says to it, and rollback as Prefect tasks: one at a time at a registered model."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from prefect import task
from prefect.runtime import flow_run

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks.promote.promotion import conclude, propose, roll_back
from tasks.promote.proposal import Proposal
from tasks.records import Approval, Decision

_SECONDS_TO_WAIT = 1_800  # for another promotion, as for the lock on this machine
_LEASE_SECONDS = 300  # renewed while its holder lives, busy as the server may be; a killed one keeps it for so long


@task(name="promote")
def promote_model(proposal: Proposal) -> Decision:
    """Hold the challenger against its gates, and move the aliases as they decide."""
    with limit_held(proposal.name):
        return propose(proposal)


@task(name="conclude")
def conclude_promotion(proposal: Proposal, waiting: Decision, approval: Approval) -> Decision:
    """Do what a person said, where the gates still allow it."""
    with limit_held(proposal.name):
        return conclude(proposal, waiting, approval)


@task(name="rollback")
def roll_back_model(name: str) -> Decision:
    """Put the version before the champion back."""
    with limit_held(name):
        return roll_back(name, flow_run.id)


def limit_name(name: str) -> str:
    """The limit of a registered model, as the Prefect server shows it."""
    return f"darkroom-registry-{name}"


@contextmanager
def limit_held(name: str) -> Iterator[None]:
    """The registered model for this process alone, on all machines of the Prefect server; without one there is none.

    The lock of `tracking.registry_held` knows this machine alone.

    Raises:
        DarkroomError: another process has it for half an hour.
    """
    if not Settings().prefect_server:
        yield
        return
    from prefect.concurrency.sync import concurrency

    _make_limit(limit_name(name))
    with ExitStack() as held:
        try:
            held.enter_context(
                concurrency(
                    limit_name(name), timeout_seconds=_SECONDS_TO_WAIT, lease_duration=_LEASE_SECONDS, strict=True
                )
            )
        except TimeoutError:
            raise DarkroomError(
                f"registry of {name}: expected to be alone at it within {_SECONDS_TO_WAIT / 60:g} minutes; another "
                f"promotion holds the Prefect server's limit {limit_name(name)}; try again when it has ended"
            ) from None
        yield


def _make_limit(limit: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):  # another process made it meanwhile
        client.upsert_global_concurrency_limit_by_name(limit, 1)
