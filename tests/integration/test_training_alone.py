"""`darkroom train`: models that have not met the test rows, and what can be done with them later."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# MLflow's registry of sources knows the local one twice from the second pipeline of a process on.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")

CNN = {
    "name": "cnn",
    "family": "cnn_plain",
    "params": {"filters": [4], "convolutions": 1, "dense_units": [8]},
}
DIVERGING = {**CNN, "name": "diverging", "train": {"optimizer": "sgd", "learning_rate": 1e30}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, darkroom_here, new_home, pictures, write_experiment) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("trained")
    home = new_home(folder / "home")
    file = write_experiment(folder / "alone.yaml", pictures, models=[CNN, DIVERGING])
    return SimpleNamespace(file=file, home=home, finished=darkroom_here("train", file, "--json", home=home))


@pytest.fixture
def home_folder(trained: SimpleNamespace) -> Path:
    return Path(trained.home)


@pytest.fixture
def client() -> Any:
    import mlflow

    from pipeline_config.settings import Settings

    return mlflow.MlflowClient(Settings().tracking_uri)


def runs(client: Any) -> list[Any]:
    """The latest first."""
    found = client.get_experiment_by_name("alone")
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"]))


def kinds(client: Any) -> list[tuple[str, str]]:
    return sorted((run.data.tags["darkroom.kind"], run.info.run_name) for run in runs(client))


def test_a_model_is_trained_and_another_that_failed_is_named(trained, client):
    answer = trained.finished.answer
    assert (trained.finished.code, answer["status"]) == (1, "failed_models")
    assert "1 of the models failed, the others are trained: diverging: " in answer["error"]
    assert [failure["name"] for failure in answer["failures"]] == ["diverging"]
    (model,) = answer["models"]
    assert model["metrics"]["chosen_val_accuracy"] > 0.6
    assert kinds(client) == [("train", "cnn"), ("train", "diverging"), ("training", "training alone")]
    assert client.get_run(model["run_id"]).data.tags["mlflow.parentRunId"] == answer["run_id"]


def test_no_model_meets_the_test_rows_or_the_registry(trained, client):
    (model,) = trained.finished.answer["models"]
    run = client.get_run(model["run_id"])
    assert not [name for name in [*run.data.metrics, *model["metrics"]] if name.startswith("test_")]
    assert "evaluation" not in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert not client.search_registered_models()


def test_the_same_command_again_trains_only_what_failed(trained, client, darkroom_here):
    (before,) = trained.finished.answer["models"]
    again = darkroom_here("train", trained.file, home=trained.home)
    assert again.code == 1
    assert f"going on with the training run {trained.finished.answer['run_id']}" in again.said
    assert f"To evaluate cnn on the test rows: darkroom evaluate {before['run_id']}" in again.said
    assert [run.info.run_name for run in runs(client)].count("cnn") == 1


def test_a_model_is_evaluated_compared_and_promoted_later(trained, darkroom_here):
    (model,) = trained.finished.answer["models"]
    evaluated = darkroom_here("evaluate", model["run_id"], "--json", home=trained.home)
    assert (evaluated.code, evaluated.answer["status"]) == (0, "done")
    assert evaluated.answer["metrics"]["test_accuracy"] > 0.6
    compared = darkroom_here("compare", trained.finished.answer["run_id"], "--json", home=trained.home)
    assert compared.code == 0
    promoted = darkroom_here("promote", model["run_id"], "--json", home=trained.home)
    assert (promoted.code, promoted.answer["decision"]) == (0, "promoted")
