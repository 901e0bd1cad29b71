"""What people see while a run goes on: lines and progress bars on stderr, nothing on stdout."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def _go_on_unheard(self: Console) -> None:
    self.quiet = True


# Rich ends the process when nobody reads what it says any more, as the worker that was killed. A training is not worth
# less for that.
Console.on_broken_pipe = _go_on_unheard  # type: ignore[method-assign]  # a subclass would not reach Prefect's consoles

# A descriptor of its own: libraries whose native code writes to stderr are muted by turning descriptor 2 away.
_stderr = os.fdopen(os.dup(2), "w")


@atexit.register
def _close() -> None:
    with suppress(BrokenPipeError):  # of what nobody reads any more
        _stderr.close()


console = Console(file=_stderr, highlight=False, width=None if os.isatty(2) else 120)
_listeners: list[Callable[[str], Any]] = []


class Bar:
    """One progress bar; where there is no terminal to draw it on, its notes are lines of their own."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        """So many steps more are done."""
        self._progress.advance(self._task, steps)

    def note(self, text: str) -> None:
        """A few words on how it goes, as the loss so far."""
        self._progress.update(self._task, note=text)
        if _listeners or not console.is_terminal:
            say(f"{self._progress.tasks[self._task].description}: {text}")

    def expect(self, steps: int) -> None:
        """So many steps are to be done in all, other than was thought."""
        self._progress.update(self._task, total=steps)

    def shrink_to_done(self) -> None:
        """No more steps will come: the work ended early, and well."""
        self._progress.update(self._task, total=self._progress.tasks[self._task].completed)


@contextmanager
def bar(description: str, total: int) -> Iterator[Bar]:
    """A bar that stays, complete, when the block ends; not drawn without a terminal or with `console.quiet`."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=console.quiet or not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(description, total=total, note=""))


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """The items, with a bar that counts them."""
    with bar(description, total) as shown:
        for item in items:
            yield item
            shown.advance()


def say(sentence: str) -> None:
    """One line for people."""
    if _listeners:
        _listeners[-1](sentence)
        return
    console.print(sentence, markup=False, soft_wrap=True)


@contextmanager
def told_to(listener: Callable[[str], Any]) -> Iterator[None]:
    """What is said and noted in the block goes to a listener: the process that people look at is another."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


@contextmanager
def without_native_lines() -> Iterator[None]:
    """What native code writes to stderr in the block goes nowhere, also of processes that are started in it."""
    stderr = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
