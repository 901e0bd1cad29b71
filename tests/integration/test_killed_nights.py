"""kill -9 of a worker and of what it runs: the same two commands again, and the night after goes on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.nights import night

pytestmark = pytest.mark.soak
# Long enough to be killed in.
LONG = {"epochs": 400, "batch_size": 16, "learning_rate": 0.01, "early_stopping_patience": None}


@pytest.fixture
def training(tmp_path, pictures, write_experiment, wait_until) -> Any:
    """A scheduled run in the middle of its first training."""
    file = write_experiment(tmp_path / "killed.yaml", pictures, train=LONG)
    home = tmp_path / "home"
    with night(str(file), home) as at:
        asked = at.ask()
        wait_until(lambda: any((home / "cache" / "training").glob("*.npz")), 240, "a checkpoint of the training")
        yield SimpleNamespace(at=at, asked=asked, home=home)


def runs(home: Path, kind: str) -> list[Any]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
    found = client.get_experiment_by_name("killed")
    return list(client.search_runs([found.experiment_id], f"tags.`darkroom.kind` = '{kind}'"))


def test_a_killed_worker_s_run_is_closed_by_the_next_worker_and_gone_on_with_by_the_next_run(training, wait_until):
    training.at.worker.kill(with_children=True)
    (pipeline,) = runs(training.home, "pipeline")
    assert pipeline.info.status == "RUNNING"
    training.at.worker.start()
    told = wait_until(lambda: training.at.ended(training.asked), 120, "the killed run to be closed")
    assert told.is_crashed()
    found = training.at.wait(training.at.ask())
    assert found.state.name == "Completed", found.state
    (again,) = runs(training.home, "pipeline")
    assert (again.info.run_id, again.info.status) == (pipeline.info.run_id, "FINISHED")
    finished = [run for run in runs(training.home, "train") if run.info.status == "FINISHED"]
    assert sorted(run.info.run_name for run in finished) == ["cnn", "svm"]
    assert "cnn goes on after epoch" in (training.home / "worker.log").read_text()


def test_the_run_of_a_killed_worker_goes_on_alone_and_a_new_worker_leaves_it_to_it(training, wait_until):
    training.at.worker.kill(with_children=False)
    training.at.worker.start()
    told = wait_until(lambda: training.at.ended(training.asked), 240, "the orphan to end")
    assert told.name == "Completed", told
    (pipeline,) = runs(training.home, "pipeline")
    assert pipeline.info.status == "FINISHED"
