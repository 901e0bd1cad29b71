"""The workers of a Ray cluster: one on this machine for one stage alone, or one that is there."""

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache, partial
from pathlib import Path
from typing import Any

from flows.cluster import (
    BATCHES_A_WORKER,
    Runner,
    bounded,
    check_listens,
    environment,
    in_order,
    no_cluster,
    places,
    started_with,
    temporary_folder,
    trials_ended,
    workers_of,
)
from pipeline_config.experiment import Execution
from tasks.progress import without_native_lines

_OBJECT_STORE_BYTES = 80 * 2**20  # what trials hand over are records; Ray asks for 75 MiB at least, its default is 30 %


@contextmanager
def own_ray(execution: Execution) -> Iterator[Runner]:
    """A Ray cluster on this machine, that listens to this machine alone."""
    workers = workers_of(execution)
    with temporary_folder() as folder:
        options = {
            "address": "local",
            "num_cpus": workers,
            "num_gpus": 0,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_temp_dir": folder,
        }
        on_loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as Ray does on those systems
        with _connected(options, {**places(folder), **on_loopback, **_secret()}):
            yield _runner(workers)


@contextmanager
def joined_ray(execution: Execution) -> Iterator[Runner]:
    """A Ray cluster that was there before, and stays."""
    assert execution.address is not None
    check_listens(execution.address)
    options = {"address": execution.address, "runtime_env": {"env_vars": environment()}}
    with _connected(options, {}):
        import ray

        processors = int(ray.cluster_resources().get("CPU", 0))
        yield _runner(bounded(execution, processors, "ray start"))


@contextmanager
def _connected(options: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[None]:
    """This process connected to Ray, which prints nothing and reports to nobody."""
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with started_with({**quiet, **environment}):
        import ray
        from prefect_ray.context import remote_options

        try:
            with without_native_lines():
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, namespace="prefect", **options)
            # A trial is not run again where its worker ended, which Ray prints on stdout, whatever it is told.
            with (
                remote_options(max_retries=0),
                Path(os.devnull).open("w") as nowhere,
                redirect_stdout(nowhere),
                trials_ended(),
            ):
                yield
        except ConnectionError as error:
            raise no_cluster(str(options["address"]), str(error)) from None
        finally:
            ray.shutdown()


@cache  # Ray reads it once in a process
def _secret() -> dict[str, str]:
    """Without which nobody else on this machine can use the cluster; Ray's own way would write one into the home."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _runner(workers: int) -> Runner:
    from prefect_ray import RayTaskRunner

    def spread(work: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
        import ray

        begin = ray.remote(max_retries=0)(_call).remote
        yield from in_order(partial(begin, work), ray.get, batches, BATCHES_A_WORKER * workers)

    return Runner(RayTaskRunner(), workers, spread)


def _call(work: Callable[[Any], Any], batch: Any) -> Any:
    """Ray knows functions alone, and not what `partial` makes of them."""
    return work(batch)
