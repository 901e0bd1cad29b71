"""What became of several models: those that ended well go on, the others are named with the reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect.client.schemas.objects import State

from pipeline_config.errors import DarkroomError, Unreachable
from tasks.progress import say
from tasks.reasons import ends_all, reason

Record = TypeVar("Record")


@dataclass(frozen=True)
class Failure:
    """A model that could not be trained or evaluated, why, in a sentence, and whether a server did not answer."""

    name: str
    reason: str
    unreachable: bool = False


class ModelsFailed(DarkroomError):
    """Some models failed; `result` holds what the others came to.

    Args:
        result: of the flow.
        failures: one at least.
        done: what the others are, as evaluated.
    """

    def __init__(self, result: Any, failures: Sequence[Failure], done: str) -> None:
        reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
        super().__init__(f"{len(failures)} of the models failed, the others are {done}: {reasons}")
        self.result = result
        self.answer: dict[str, object] = {"status": "failed_models"}


def collect(outcomes: Iterable[tuple[str, State[Any]]], record: type[Record]) -> tuple[list[Record], list[Failure]]:
    """The records of tasks that ended well, and the failures of the others, which are told at once.

    Args:
        outcomes: name of the model and final state of its task, one after the other as they come.
        record: what a task that ended well returns.

    Raises:
        Exception: what a task raised because the disk is full, or a server away.
    """
    done, failures = [], []
    for name, state in outcomes:
        result = state.result(raise_on_failure=False)
        if isinstance(result, record):
            done.append(result)
        else:
            if isinstance(result, BaseException) and ends_all(result):
                raise result  # the other models would fail too, and fill what is left for closing the runs
            failures.append(Failure(name, reason(result), isinstance(result, Unreachable)))
            say(f"{name} failed: {failures[-1].reason}")
    return done, failures
