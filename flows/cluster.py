"""What Dask and Ray clusters have in common: places, variables, addresses, and the end of what they had started."""

import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline_config.errors import ConfigurationError, Unreachable
from pipeline_config.experiment import Execution
from pipeline_config.settings import DEFAULTS, Settings
from tasks.processes import kill_forks
from tasks.spread import Spread

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

_BYTES_A_TRIAL = 2 * 2**30
SECONDS_TO_CONNECT = 10
BATCHES_A_WORKER = 3
"""Begun at once, so that none waits for the next, and of a slow one those behind it do not fill the memory."""
_LONGEST_TEMPORARY = 24  # Ray's sockets are 83 characters further down, and a socket's path ends at 107


@dataclass(frozen=True)
class Runner:
    """What runs trials, trainings of models, and the checks of images.

    Attributes:
        task_runner: for `flow.with_options(task_runner=...)`.
        workers: tasks that it runs side by side.
        spread: runs many small pieces of work, each too small to be a task of Prefect's.
    """

    task_runner: "TaskRunner[Any]"
    workers: int
    spread: Spread


def workers_of(execution: Execution) -> int:
    """Trials that this machine runs side by side: as many as asked for, or as its processors and memory allow."""
    if execution.workers != "auto":
        return execution.workers
    import joblib
    import psutil

    by_memory: int = psutil.virtual_memory().total // _BYTES_A_TRIAL
    by_processors: int = joblib.cpu_count()
    return max(1, min(by_processors, by_memory))


def in_order(
    begin: Callable[[Any], Any], result: Callable[[Any], Any], batches: Iterable[Any], most: int
) -> Iterator[Any]:
    """Results in the order of the batches; of large sets no more than `most` are begun and not yet taken.

    Args:
        begin: a batch -> what its result is asked for by.
        result: waits for that, and gives the result.
        batches: to be begun in this order.
        most: begun at once.
    """
    begun: deque[Any] = deque()
    for batch in batches:
        if len(begun) == most:
            yield result(begun.popleft())
        begun.append(begin(batch))
    while begun:
        yield result(begun.popleft())


@contextmanager
def started_with(environment: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes that are started; ours are afterwards as they were."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def environment() -> dict[str, str]:
    """What workers that others started must know of ours."""
    ours = ("DARKROOM_", "MLFLOW_", "PREFECT_")
    known = {name: value for name, value in os.environ.items() if name.startswith(ours) or name in DEFAULTS}
    settings = Settings()
    return {**known, "DARKROOM_HOME": str(settings.home), "MLFLOW_TRACKING_URI": settings.tracking_uri}


@contextmanager
def temporary_folder() -> Iterator[str]:
    """For what a cluster writes. Where temporary files are too far down for the paths of sockets, in /tmp."""
    usual = tempfile.gettempdir()
    root = usual if len(usual) <= _LONGEST_TEMPORARY else "/tmp"
    with tempfile.TemporaryDirectory(prefix=f"dr{os.getpid()}-", dir=root) as folder:
        yield folder


def places(folder: str) -> dict[str, str]:
    """For workers, which may be killed, and then leave their temporary files."""
    return {"DARKROOM_HOME": str(Settings().home), "TMPDIR": folder}


@contextmanager
def trials_ended() -> Iterator[None]:
    """After the block, what workers on this machine had started is gone, also where it was left early.

    Processes end with their worker, but not while they import TensorFlow, which may take long.
    """
    import psutil

    ours = psutil.Process()
    try:
        yield
    finally:
        kill_forks(set(ours.children(recursive=True)) - set(ours.children()))  # our own nursery stays


def bounded(execution: Execution, there: int, command: str) -> int:
    """Workers that are asked for, but not more than the cluster has."""
    if there < 1:
        raise Unreachable(
            f"execution.address: expected a cluster with workers at {execution.address}; received one without any; "
            f"start some with `{command}`"
        )
    return there if execution.workers == "auto" else min(execution.workers, there)


def check_listens(address: str) -> None:
    """Something answers at the address, told in seconds where the libraries would try for minutes.

    Raises:
        Unreachable: nothing does.
    """
    try:
        socket.create_connection(host_and_port(address), SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise no_cluster(address, str(error)) from None


def host_and_port(address: str) -> tuple[str, int]:
    """Of `host:port`, a scheme before it or not.

    Raises:
        ConfigurationError: it is not of that form.
    """
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise ConfigurationError(f"execution.address: expected host:port, as 10.0.0.1:8786; received {address}")
    return host, port


def no_cluster(address: str, problem: str) -> Unreachable:
    """The error of an address at which no cluster answers."""
    return Unreachable(
        f"execution.address: expected a cluster that answers at {address}; received: {problem}; start it, or leave "
        "the address out for one on this machine"
    )
