"""A sweep on a Dask or a Ray cluster: its trials run on two workers at once, and nothing of it stays."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest import mock

import psutil
import pytest

from flows import runners
from pipeline_config.errors import ConfigurationError, Unreachable
from pipeline_config.experiment import Execution

SWEEP = {"model": "cnn", "space": {"train.learning_rate": [0.01, 0.003]}, "pruner": "none"}
NOWHERE = "127.0.0.1:9"  # the discard port, where nothing listens
SERVER = "flows.temporary_server"


class Watched:
    """Processes seen below a command: workers that had a trial at work, and Prefect's servers."""

    def __init__(self, command: int) -> None:
        self.command, self.workers, self.servers = psutil.Process(command), set(), set()
        self._looked = 0.0

    def look(self) -> None:
        """A trial is forked from a nursery, which is a child of the worker; both have the nursery's command line.

        Twice a second at most: to look costs time that the command needs.
        """
        if time.monotonic() - self._looked < 0.5:
            return
        self._looked, nurseries = time.monotonic(), {}
        for process in self._below():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if SERVER in line:
                    self.servers.add(process.pid)
                if "multiprocessing.forkserver" in line:
                    nurseries[process.pid] = process.ppid()
        self.workers |= {nurseries[parent] for parent in nurseries.values() if parent in nurseries}

    def _below(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return self.command.children(recursive=True)
        return []


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_trials_run_on_two_workers_at_once_and_nothing_is_left_or_printed(
    runner, tmp_path, darkroom, new_home, pictures, write_experiment, wait_until
):
    experiment = write_experiment(tmp_path / "tiny.yaml", pictures, sweep=SWEEP)
    home = new_home(tmp_path / "home")
    switches = ["--set", f"execution.runner={runner}", "--set", "execution.workers=2"]
    with darkroom.start("sweep", experiment, *switches, "--json", home=home) as running:
        seen = Watched(running.process.pid)
        wait_until(lambda: seen.look() or running.process.poll() is not None, 400, "the end of the sweep")
        wait_until(lambda: not running.descendants(), 60, "the end of all its processes")
        finished = running.wait(10)
    assert finished.code == 0, finished.stderr
    assert finished.answer["sweep"]["counts"] == {"complete": 2, "pruned": 0, "failed": 0}
    assert len(seen.workers - {running.process.pid}) == 2
    assert len(seen.servers) == 1  # the temporary one of the command serves its workers too
    (first_start, first_end), (second_start, second_end) = times_of_trials(home)
    assert first_start < second_end
    assert second_start < first_end
    assert finished.stderr == ""
    assert finished.left == ()
    assert finished.temporary == ()
    assert list(Path("/tmp").glob(f"dr{running.process.pid}-*")) == []


def times_of_trials(home: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return connection.execute("SELECT start_time, end_time FROM runs WHERE name LIKE 'trial %'").fetchall()


# A cluster that is there already.


@pytest.fixture
def named_server() -> Iterator[None]:
    """No temporary Prefect server is started where one is named."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: f"http://{NOWHERE}/api"}):
        yield


@pytest.fixture
def dask_cluster() -> Iterator[str]:
    """Address of one with two workers, which are threads of this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@contextmanager
def entered(**execution: object) -> Iterator[runners.Runner]:
    with runners.runner_for(Execution.model_validate(execution)) as runner:
        yield runner


@pytest.mark.usefixtures("named_server")
@pytest.mark.parametrize(("asked", "workers"), [("auto", 2), (1, 1), (8, 2)])
def test_a_cluster_at_an_address_runs_no_more_trials_than_it_has_workers(dask_cluster, asked, workers):
    with entered(runner="dask", workers=asked, address=dask_cluster) as runner:
        assert runner.workers == workers
        assert runner.task_runner.address == dask_cluster


@pytest.mark.usefixtures("named_server")
def test_dask_workers_that_cannot_have_processes_are_refused_with_the_mend(dask_cluster):
    import multiprocessing

    with (
        mock.patch.dict(multiprocessing.current_process()._config, daemon=True),
        pytest.raises(ConfigurationError, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"),
        entered(runner="dask", address=dask_cluster),
    ):
        pass


@pytest.mark.usefixtures("named_server")
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_an_address_where_nothing_listens_is_named(runner):
    with pytest.raises(Unreachable, match=rf"execution\.address.*{NOWHERE}"), entered(runner=runner, address=NOWHERE):
        pass


# What is refused before anything starts.


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_missing_package_is_named_with_its_extra(runner):
    with (
        mock.patch.object(runners, "find_spec", return_value=None),
        pytest.raises(ConfigurationError, match=rf"prefect-{runner}.*pip install 'darkroom\[{runner}\]'"),
    ):
        runners.check_runner(Execution(runner=runner))


@pytest.mark.parametrize(
    ("execution", "sentence"),
    [
        (Execution(address="10.0.0.1:8786"), "dask or ray"),
        (Execution(runner="dask", address="somewhere"), "host:port"),
        (Execution(runner="ray", address="ray://10.0.0.1:port"), "host:port"),
        (Execution(runner="ray", address="ray://10.0.0.1:10001"), "PREFECT_API_URL"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(execution, sentence):
    with pytest.raises(ConfigurationError, match=rf"execution\.address.*{sentence}"):
        runners.check_runner(execution)


def test_a_cluster_elsewhere_goes_with_a_prefect_server_that_was_named(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://10.0.0.2:4200/api")
    runners.check_runner(Execution(runner="dask", address="tls://10.0.0.1:8786"))


@pytest.mark.parametrize(("gibibytes", "processors", "workers"), [(64, 8, 8), (7, 8, 3), (1, 8, 1)])
def test_workers_are_as_many_as_processors_and_memory_allow(gibibytes, processors, workers):
    with (
        mock.patch("joblib.cpu_count", return_value=processors),
        mock.patch("psutil.virtual_memory", return_value=mock.Mock(total=gibibytes * 2**30)),
    ):
        assert runners.workers_of(Execution()) == workers
        assert runners.workers_of(Execution(workers=5)) == 5
