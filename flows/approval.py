"""A person is asked on the Prefect server whether a challenger that passed its gates may become champion."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from tasks.progress import say
from tasks.promote.proposal import Proposal
from tasks.promote.question import tell_comparison
from tasks.records import Approval, Decision

_SECONDS_BETWEEN_LOOKS = 5


class Answer(RunInput):
    """The form that the Prefect UI shows; whatever is left as it is, is a no."""

    approve: bool = Field(False, title="It becomes champion")
    by: str = Field("", title="Who says so")
    because: str = Field("", title="Why")


def ask(proposal: Proposal, waiting: Decision) -> Approval:
    """Wait for a person, for as long as `promotion.approval_timeout` says; nobody's answer is a no."""
    seconds = proposal.promotion.approval_timeout
    title = f"{proposal.challenger.name} of {proposal.name}, version {waiting.version}"
    state = ask_person(title, tell_comparison(proposal, waiting), seconds, return_state=True)
    if state.is_completed():
        return state.result()
    if "never resumed" in (state.message or ""):
        return Approval(False, f"nobody said yes within {_duration(seconds)}")
    return Approval(False, f"the question came to no answer: {state.message or state.name}")


@flow(name="approval", flow_run_name="approve {title}", validate_parameters=False)
def ask_person(title: str, comparison: str, seconds: float) -> Approval:
    """Pause until somebody resumes this run with the form filled in.

    A flow of its own, since a run whose question nobody answered is failed by the server.

    Args:
        title: of the challenger.
        comparison: Markdown, which the artifact and the form show.
        seconds: until the answer is no.
    """
    create_markdown_artifact(comparison, key="promotion-approval", description=f"Shall {title} become champion?")
    say(f"waiting for a person's yes, for {_duration(seconds)} at most: {flow_run.ui_url}")
    form = Answer.with_initial_data(description=comparison)
    answer = pause_flow_run(wait_for_input=form, timeout=max(round(seconds), 1), poll_interval=_SECONDS_BETWEEN_LOOKS)
    return _in_words(answer)


def _in_words(answer: Any) -> Approval:
    who, because = answer.by.strip() or "somebody", answer.because.strip()
    said = f"{who} said {'yes' if answer.approve else 'no'}{f': {because}' if because else ''}"
    return Approval(answer.approve, said)


def _duration(seconds: float) -> str:
    for unit, name in ((3_600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
