"""Trials and trainings in processes, and on Dask and Ray clusters: two at once, to the same end, and nothing stays."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pandas as pd
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flows import runners
from flows.cluster import in_order
from pipeline_config.errors import ConfigurationError, Unreachable
from pipeline_config.experiment import Execution
from tasks.records import Listing
from tasks.validate import inspection

SIDE_BY_SIDE = ("--set", "execution.workers=2", "--set", "execution.compute.threads=1")
"""One thread also for what is held against it: sums of floats in another order are other floats."""
SWEEP = {"model": "cnn", "space": {"train.learning_rate": [0.01, 0.003]}, "pruner": "none"}
TINY_CNN = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
SVM = {"name": "svm", "family": "linear_svm"}
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


@pytest.fixture(scope="module")
def here(tmp_path_factory, darkroom, new_home, pictures, write_experiment, prefect_url):
    """The sweep, and then its winner and the SVM trained one after the other; and side by side with one that fails."""
    folder = tmp_path_factory.mktemp("here")
    lost = {**TINY_CNN, "name": "lost", "train": {"learning_rate": 1e30}}
    runs = {
        "in_turn": ([TINY_CNN, SVM], SIDE_BY_SIDE[2:]),
        "side_by_side": ([lost, TINY_CNN, SVM], SIDE_BY_SIDE),
    }
    homes = {name: new_home(folder / name) for name in runs}
    with ExitStack() as started:
        running = {}
        for name, (models, switches) in runs.items():
            experiment = write_experiment(folder / f"{name}.yaml", pictures, sweep=SWEEP, models=models)
            words = ("run", experiment, *switches, "--json")
            running[name] = started.enter_context(darkroom.start(*words, home=homes[name], PREFECT_API_URL=prefect_url))
        return SimpleNamespace(homes=homes, **{name: one.wait(600) for name, one in running.items()})


@pytest.fixture(scope="module")
def local(here):
    """Tables of predictions by model, trained one after the other."""
    assert here.in_turn.code == 0, here.in_turn.answer
    return tables_of(here.in_turn, here.homes["in_turn"])


def tables_of(finished, home: Path) -> dict[str, pd.DataFrame]:
    """Each in the order of its images."""
    tables = {}
    for model in finished.answer["models"]:
        (path,) = (home / "artifacts").rglob(f"{model['run_id']}/artifacts/evaluation/predictions.parquet")
        tables[model["name"]] = pd.read_parquet(path)
    return tables


def check_same(tables: dict[str, pd.DataFrame], local: dict[str, pd.DataFrame]) -> None:
    assert tables.keys() == local.keys()
    for name, table in local.items():
        pd.testing.assert_frame_equal(tables[name], table, rtol=0, atol=1e-6)


def statuses_of(home: Path) -> dict[str, str]:
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return dict(connection.execute("SELECT name, status FROM runs").fetchall())


@pytest.mark.soak
def test_a_model_that_fails_in_a_process_is_named_and_the_others_are_as_if_trained_alone(here, local):
    finished, home = here.side_by_side, here.homes["side_by_side"]
    assert (finished.code, finished.answer["status"]) == (1, "failed_models")
    assert "lost: models.lost: the training loss became" in finished.answer["error"]
    check_same(tables_of(finished, home), local)
    assert [model["name"] for model in finished.answer["models"]] == ["cnn", "svm"]
    statuses = statuses_of(home)
    assert (statuses["lost"], statuses["cnn"], statuses["svm"]) == ("FAILED", "FINISHED", "FINISHED")
    assert "RUNNING" not in statuses.values()
    assert not list((home / "cache" / "training").glob("*.npz"))


@pytest.mark.soak
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_trials_run_on_two_workers_at_once_and_models_come_out_as_here_and_nothing_is_left_or_printed(
    runner, tmp_path, darkroom, new_home, pictures, write_experiment, wait_until, local
):
    experiment = write_experiment(tmp_path / "tiny.yaml", pictures, sweep=SWEEP)
    home = new_home(tmp_path / "home")
    switches = ["--set", f"execution.runner={runner}", *SIDE_BY_SIDE]
    with darkroom.start("run", experiment, *switches, "--json", home=home) as running:
        seen = Watched(running.process.pid)
        wait_until(lambda: seen.look() or running.process.poll() is not None, 600, "the end of the run")
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
    check_same(tables_of(finished, home), local)


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
def test_a_cluster_finds_of_images_what_this_process_finds(dask_cluster, tmp_path, monkeypatch):
    names = [f"{number:03}.png" for number in range(300)]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (number % 256, number // 256, 9)).save(tmp_path / name)
    (tmp_path / names[170]).write_bytes(b"broken")
    pd.DataFrame({"path": names}).to_parquet(tmp_path / "listing.parquet")
    listing = Listing(tmp_path / "listing.parquet", (), tmp_path, None)
    here = inspection.inspect_images(listing, tmp_path / "here")
    monkeypatch.setattr(inspection, "PARALLEL_ABOVE", 10)
    spread, used = runners.spread_of(Execution(runner="dask", address=dask_cluster)), []

    def noted(work, batches):
        for facts in spread(work, batches):
            used.append(len(facts))
            yield facts

    there = inspection.inspect_images(listing, tmp_path / "there", noted)
    pd.testing.assert_frame_equal(there, here)
    assert sum(used) == 300
    assert len(used) > 1


@given(batches=st.lists(st.integers()), most=st.integers(1, 5))
def test_results_come_in_order_and_no_more_are_begun_than_may_be(batches, most):
    open_ones = []

    def begin(batch):
        open_ones.append(batch)
        assert len(open_ones) <= most
        return batch

    def result(batch):
        assert open_ones.pop(0) == batch
        return -batch

    assert list(in_order(begin, result, batches, most)) == [-batch for batch in batches]


def test_the_images_of_a_large_set_are_opened_by_this_machine_unless_a_cluster_is_asked_for():
    assert runners.spread_of(Execution(workers=4)) is None


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
