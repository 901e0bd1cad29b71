"""Where trials, trainings and the checks of images run: in processes here, or on the workers of a cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from flows.cluster import Runner, host_and_port, workers_of
from flows.dask_runner import joined_dask, own_dask
from flows.ray_runner import joined_ray, own_ray
from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Execution
from pipeline_config.settings import Settings
from tasks.spread import Spread, by_processes

_HERE = ("localhost", "127.0.0.1", "::1")
_PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}


@contextmanager
def runner_for(execution: Execution) -> Iterator[Runner]:
    """The runner that an experiment asks for; a cluster of its own is there for the block alone.

    Task runs on other processes talk to the Prefect server of this one, and find the same home and MLflow store.

    Raises:
        ConfigurationError: as `check_runner`; or the cluster's workers cannot have processes of their own.
        Unreachable: nothing answers at `execution.address`.
    """
    check_runner(execution)
    if execution.runner == "processes":
        yield _threads(workers_of(execution))
        return
    clusters = {
        ("dask", True): joined_dask,
        ("dask", False): own_dask,
        ("ray", True): joined_ray,
        ("ray", False): own_ray,
    }
    with _same_server(), clusters[execution.runner, execution.address is not None](execution) as runner:
        yield runner


def spread_of(execution: Execution) -> Spread | None:
    """Where many small pieces of work are done; None: on this machine, as each stage does it by itself."""
    return None if execution.runner == "processes" else _OnCluster(execution)


@dataclass(frozen=True)
class _OnCluster:
    """A cluster that is started, or joined, when there is work for it, and no sooner."""

    execution: Execution

    def __call__(self, work: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
        with runner_for(self.execution) as runner:
            yield from runner.spread(work, batches)


def check_runner(execution: Execution) -> None:
    """What can be known before anything runs.

    Raises:
        ConfigurationError: a package is missing, or the address does not go with the runner or the Prefect server.
    """
    package = _PACKAGES.get(execution.runner)
    if package is None:
        if execution.address is not None:
            raise ConfigurationError(
                f"execution.address: expected none with execution.runner: processes; received {execution.address}; "
                "set execution.runner to dask or ray, or leave the address out"
            )
        return
    if find_spec(package) is None:
        raise ConfigurationError(
            f"execution.runner: {execution.runner} expected the package {package.replace('_', '-')}; received an "
            f"environment without it; pip install 'darkroom[{execution.runner}]'"
        )
    if execution.address is not None:
        _check_server(execution.address)


def _check_server(address: str) -> None:
    """A cluster on other machines cannot reach a server that listens to this one alone."""
    host, _ = host_and_port(address)
    if host not in _HERE and Settings().prefect_server is None:
        raise ConfigurationError(
            f"execution.address: expected a Prefect server that the cluster at {address} reaches too; received none, "
            "and the temporary one answers this machine alone; start `prefect server start` and name it with "
            "PREFECT_API_URL"
        )


def _threads(workers: int) -> Runner:
    from prefect.task_runners import ThreadPoolTaskRunner

    return Runner(ThreadPoolTaskRunner(max_workers=workers), workers, by_processes)


@contextmanager
def _same_server() -> Iterator[None]:
    """The server of this process, a temporary one too, is also that of the workers, who are told Prefect's settings."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with get_client(sync_client=True) as client:
        url = str(client.api_url).rstrip("/")
    with temporary_settings({PREFECT_API_URL: url}):
        yield
