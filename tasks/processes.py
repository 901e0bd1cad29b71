"""Work in a process of its own: memory that grows there ends with it, and a crash there costs that work alone.

Processes are forked from a nursery that has the heavy libraries imported and nothing computed with them yet: TensorFlow
does not survive a fork once it has run an operation, and takes five seconds to import.
"""

import atexit
import contextlib
import errno
import functools
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any

from pipeline_config.errors import ConfigurationError, DarkroomError, Unreachable
from tasks.disk import is_disk_full
from tasks.progress import console, without_native_lines
from tasks.reasons import reason

Tell = Callable[[Any], Any]
"""Sends a plain value to the process that waits for the work, and returns its answer."""

_FOR_MODELS = ("keras", "tensorflow", "mlflow.keras", "tasks.processes")
_PRELOADED = (
    *_FOR_MODELS,
    "scipy.stats",
    "sklearn.ensemble",
    "tasks.train.trial",
    "tasks.train.training",
    "matplotlib.pyplot",
    "optuna.visualization.matplotlib",
    "plotly.graph_objects",
    "tasks.sweep.report",
)
_LAST_LINES = 3
_KINDS = (Unreachable, FileNotFoundError, OSError)
"""Of errors, those that callers take otherwise than others; a library's own class may be unknown here."""
_running: set[Any] = set()
_starting = threading.Lock()
_over = threading.Event()


class WorkFailed(DarkroomError):
    """Work in another process ended with an error, or its process did; the sentence is why.

    Attributes:
        kind: of the work's error, the nearest of `_KINDS`.
    """

    def __init__(self, sentence: str, kind: type[Exception] = DarkroomError) -> None:
        super().__init__(sentence)
        self.kind = kind

    def __reduce__(self) -> Any:
        return WorkFailed, (str(self), self.kind)


class WorkEnded(BaseException):
    """Work was ended, for its result is no longer wanted: nothing that goes on after errors may take it for one."""


@dataclass(frozen=True)
class _Error:
    """What the work raised, told in a sentence, of which kind, and whether the disk was full."""

    sentence: str
    kind: type[Exception]
    disk_full: bool


def open_nursery(models_alone: bool = False) -> None:
    """Start the process that the others are forked from, unless it runs; it imports while this one goes on.

    Args:
        models_alone: what loads a model, and not what a sweep needs too, which takes the processor from others.
    """
    with _starting, without_native_lines():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", *(_FOR_MODELS if models_alone else _PRELOADED)])
        forkserver.ensure_running()
        _end_it_with_us()


@functools.cache
def _end_it_with_us() -> None:
    """At once: by itself it tidies up all that it has imported first, for seconds where the machine is busy."""
    atexit.register(_kill_nursery)


def _kill_nursery() -> None:
    import psutil

    kill_forks(psutil.Process().children())


def kill_forks(processes: Iterable[Any]) -> None:
    """Kill those of the processes, as psutil knows them, that are a nursery or work from one."""
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):
            if "multiprocessing.forkserver" in " ".join(process.cmdline()):
                process.kill()


def run_isolated(work: Callable[..., Any], arguments: tuple[Any, ...], hear: Tell, log: Path) -> Any:
    """What `work(tell, *arguments)` returns, computed in a process of its own, which ends with this one.

    Args:
        work: a function of a module; its arguments and answer are pickled.
        arguments: of the work.
        hear: called with every value that the work tells; its answer is what `tell` returns there.
        log: file for what the process writes to its standard streams, native code included.

    Raises:
        WorkFailed: the work raised an error, or its process ended without an answer.
        WorkEnded: the block of `ended_with_block` is over.
        OSError: the work raised an error because the disk is full, as any other work would.
        ConfigurationError: this process may not have children.
    """
    _check_may_have_children()
    open_nursery()
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, work, arguments, dict(os.environ), log), daemon=False)
    with ours, _started(process):
        theirs.close()  # so that its end is heard here
        return _converse(ours, process, hear, log)


@contextlib.contextmanager
def ended_with_block() -> Iterator[None]:
    """What is at work when the block ends is killed; what is about to start, in other threads, is refused from then on.

    One such block at a time; the next begins anew.
    """
    _over.clear()
    try:
        yield
    finally:
        with _starting:
            _over.set()
        for process in list(_running):
            with contextlib.suppress(ValueError):  # closed by now
                process.kill()


def _check_may_have_children() -> None:
    if multiprocessing.current_process().daemon:
        raise ConfigurationError(
            "execution.runner: expected workers that may start processes of their own; received daemonic ones; start "
            "the Dask workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )


@contextlib.contextmanager
def _started(process: Any) -> Iterator[None]:
    """Not alive after the block, however it ends."""
    with _starting:
        if _over.is_set():
            raise WorkEnded
        process.start()
        _running.add(process)
    try:
        yield
    except BaseException:
        process.kill()  # which would wait for answers
        raise
    finally:
        _running.discard(process)
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
        process.join()
        process.close()


def _converse(ours: Any, process: Any, hear: Tell, log: Path) -> Any:
    """Answer what is told until the result comes."""
    while True:
        try:
            is_result, value = ours.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            if _over.is_set():
                raise WorkEnded from None
            raise WorkFailed(_why_it_ended(process.exitcode, log)) from None
        if isinstance(value, _Error):
            raise OSError(errno.ENOSPC, value.sentence) if value.disk_full else WorkFailed(value.sentence, value.kind)
        if is_result:
            return value
        ours.send(hear(value))


def _why_it_ended(code: int, log: Path) -> str:
    if code == -signal.SIGKILL:
        return (
            "its process was killed, as the system does where memory runs out; fewer execution.workers or a smaller "
            "train.batch_size take less"
        )
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    last = " ".join(log.read_text(errors="replace").split("\n")[-_LAST_LINES - 1 :]).strip() if log.exists() else ""
    return f"its process ended {how}{f': {last}' if last else ''}; {log}"


def _work(theirs: Any, work: Callable[..., Any], arguments: tuple[Any, ...], environment: Any, log: Path) -> None:
    """What the new process does."""
    gc.freeze()  # what the nursery imported need not be looked through for garbage: 0.4 s of a short training
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the process that waits
    _write_to(log)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    console.quiet = True  # the process that waits tells how it goes

    def tell(value: Any) -> Any:
        theirs.send((False, value))
        return theirs.recv()

    try:
        answer = work(tell, *arguments)
    except Exception as error:
        kind = next((kind for kind in _KINDS if isinstance(error, kind)), DarkroomError)
        answer = _Error(reason(error), kind, is_disk_full(error))
    with contextlib.suppress(BrokenPipeError):
        theirs.send((True, answer))


def _write_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _end_with_parent() -> None:
    """A training that nobody waits for must not go on; what it has checkpointed stays."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
