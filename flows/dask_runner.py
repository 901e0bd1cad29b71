"""The workers of a Dask cluster: one on this machine for one stage alone, or one that is there."""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from flows.cluster import (
    BATCHES_A_WORKER,
    SECONDS_TO_CONNECT,
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
from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Execution
from tasks.progress import without_native_lines


@contextmanager
def own_dask(execution: Execution) -> Iterator[Runner]:
    """A Dask cluster on this machine, that listens to this machine alone."""
    import dask

    _silence()
    from distributed import LocalCluster

    workers = workers_of(execution)
    with (
        temporary_folder() as folder,
        dask.config.set(_configuration(folder)),
        started_with({**places(folder), "DASK_LOGGING__DISTRIBUTED": "critical"}),
    ):
        with without_native_lines():  # which the workers inherit: nothing of theirs reaches the terminal
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=None,  # that of trials is not the workers' own
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                # Ctrl-C in a terminal is for this process, which then ends the workers.
                preload=["import os; os.setpgid(0, 0)"],
            )
        with cluster, trials_ended():
            yield _runner(cluster.scheduler_address, workers)


def _configuration(folder: str) -> dict[str, Any]:
    return {
        "temporary-directory": folder,
        "distributed.worker.daemon": False,  # so that a worker may have a process for each trial
        "distributed.scheduler.allowed-failures": 0,  # a trial is not run again where its worker ended
        "distributed.nanny.pre-spawn-environ": {},  # one thread for every library, written into our own environment
    }


@contextmanager
def joined_dask(execution: Execution) -> Iterator[Runner]:
    """A Dask cluster that was there before, and stays."""
    assert execution.address is not None
    _silence()
    from distributed import Client

    check_listens(execution.address)
    try:
        with Client(execution.address, timeout=SECONDS_TO_CONNECT, set_as_default=False) as client:
            daemonic = client.run(_prepare_worker, environment())
            threads = sum(client.nthreads().values())
    except (OSError, TimeoutError) as error:
        raise no_cluster(execution.address, str(error)) from None
    if any(daemonic.values()):
        raise ConfigurationError(
            "execution.address: expected Dask workers that may start processes of their own; received daemonic ones; "
            "start them with DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )
    yield _runner(execution.address, bounded(execution, threads, "dask worker"))


def _silence() -> None:
    """What Dask tells, it tells of clusters that come and go; what goes wrong comes back as an exception."""
    import dask

    quiet = {"distributed": "critical", "distributed.client": "critical"}
    dask.config.set({"logging": quiet})  # read when distributed is imported
    for name in quiet:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _runner(address: str, workers: int) -> Runner:
    from prefect_dask import DaskTaskRunner

    def spread(work: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
        from distributed import Client, Future

        with Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False) as client:
            begin = partial(client.submit, work, pure=False)  # a batch need not be hashed to be known again
            yield from in_order(begin, Future.result, batches, BATCHES_A_WORKER * workers)

    return Runner(DaskTaskRunner(address=address), workers, spread)


def _prepare_worker(environment: Mapping[str, str]) -> bool:
    """Called in each worker; whether it is daemonic, and so may not have processes of its own."""
    os.environ.update(environment)
    return multiprocessing.current_process().daemon
