"""`darkroom explain`: pictures of what a finished run's model looks at, by the run's id."""

import os
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

# A second test in this process that logs inputs: MLflow's registry of sources then knows the local one twice.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")

NETWORK = {"activations_right.png", "filters.png", "grad_cam.png"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, new_home, pictures, write_experiment, darkroom_here) -> SimpleNamespace:
    """A pipeline of two models, its cache gone; MLflow's client, and the train runs' ids by name."""
    import mlflow

    from pipeline_config.settings import Settings

    folder = tmp_path_factory.mktemp("explained")
    home = new_home(folder / "home")
    file = write_experiment(folder / "explained.yaml", pictures, promotion={"mode": "disabled"})
    done = darkroom_here("run", file, "--json", home=home)
    assert done.code == 0, done.answer
    for kept in (home / "cache" / "pixels").glob("*"):
        kept.unlink()
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(home)):
        client = mlflow.MlflowClient(Settings().tracking_uri)
    return SimpleNamespace(
        home=home,
        client=client,
        ids={model["name"]: model["run_id"] for model in done.answer["models"]},
        pipeline=done.answer["pipeline_run_id"],
    )


def logged(finished: SimpleNamespace, name: str) -> set[str]:
    return {Path(file.path).name for file in finished.client.list_artifacts(finished.ids[name], "explain")}


def test_a_network_is_explained_by_its_run_s_id(finished, darkroom_here):
    done = darkroom_here("explain", finished.ids["cnn"], "--json", home=finished.home)
    assert done.code == 0, done.answer
    assert (done.answer["status"], done.answer["run_id"]) == ("done", finished.ids["cnn"])
    assert set(done.answer["files"]) == {f"explain/{name}" for name in logged(finished, "cnn")}
    assert logged(finished, "cnn") >= NETWORK


def test_a_machine_is_explained_and_people_are_told_what_was_logged(finished, darkroom_here):
    done = darkroom_here("explain", finished.ids["svm"], home=finished.home)
    assert done.code == 0, done.said
    assert logged(finished, "svm") == {"weights.png"}
    assert f"Logged to run {finished.ids['svm']}: explain/weights.png" in done.said


def test_a_run_that_is_not_there_and_one_of_another_kind_are_refused_with_code_2(finished, darkroom_here):
    absent = darkroom_here("explain", "0123456789abcdef", "--json", home=finished.home)
    assert absent.code == 2
    assert "no run 0123456789abcdef" in absent.answer["error"]
    other = darkroom_here("explain", finished.pipeline, "--json", home=finished.home)
    assert other.code == 2
    assert f"cnn {finished.ids['cnn']}" in other.answer["error"]
