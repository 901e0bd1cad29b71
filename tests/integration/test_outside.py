"""A model that is good on test rows and wrong on images from outside the data set, from its folder to the registry."""

import os
import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pandas as pd
import pytest

from pipeline_config.settings import Settings

# A second test in this process that logs inputs: MLflow's registry of sources then knows the local one twice.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")

SVM = {"name": "svm", "family": "linear_svm"}
THRESHOLDS = {"test_accuracy": 0.6, "outside_accuracy": 0.8}


@pytest.fixture(scope="module")
def done(
    tmp_path_factory, new_home, pictures, draw_pictures, write_experiment, prefect_url
) -> Iterator[SimpleNamespace]:
    """A pipeline whose outside images lie in each other's folders, beside one that is a training image."""
    import mlflow
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    from flows.pipeline import pipeline
    from tasks.progress import console

    folder = tmp_path_factory.mktemp("outside")
    draw_pictures(folder / "drawn", "red", 45)
    for number in range(40, 45):  # the others are those of the data set
        (folder / "outside" / "Blue").mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "drawn" / f"{number:03}.png", folder / "outside" / "Blue")
    shutil.copytree(pictures, folder / "pictures")
    (folder / "outside" / "red").mkdir()
    shutil.copy(folder / "pictures" / "red" / "000.png", folder / "outside" / "red")
    sections = {"models": [SVM], "promotion": {"thresholds": THRESHOLDS, "servable": False}}
    outside = {"evaluation": {"outside": str(folder / "outside")}}
    file = write_experiment(folder / "outside.yaml", folder / "pictures", **sections, **outside)
    with (
        mock.patch.dict(os.environ, DARKROOM_HOME=str(new_home(folder / "home"))),
        temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
    ):
        with console.capture() as said:
            result = pipeline(str(file))
        client = mlflow.MlflowClient(Settings().tracking_uri)
        yield SimpleNamespace(
            result=result, said=said.get(), client=client, folder=folder, run_id=result.models[0].run_id
        )
        EventsWorker.drain_all(timeout=10)


def test_a_model_that_fails_outside_the_data_set_is_refused_by_the_gate_s_name(done):
    gates = {gate.name: gate.passed for gate in done.result.decision.gates}
    assert [name for name, passed in gates.items() if not passed] == ["threshold_outside_accuracy"]
    assert gates["threshold_test_accuracy"]
    assert done.result.decision.decision == "refused"
    assert "outside_accuracy is 0; expected at least 0.8" in done.result.decision.detail
    assert "champion" not in done.client.get_registered_model("outside").aliases


def test_the_run_holds_figures_table_and_picture_of_the_outside_images(done):
    metrics = done.client.get_run(done.run_id).data.metrics
    assert metrics["outside_accuracy"] == metrics["outside_accuracy_low"] == 0
    assert metrics["outside_gap"] == metrics["test_accuracy"] >= 0.6
    assert metrics["outside_accuracy_high"] == pytest.approx(0.522, abs=0.001)
    table = pd.read_parquet(done.client.download_artifacts(done.run_id, "evaluation/outside_predictions.parquet"))
    assert table["label"].tolist() == [0] * 5
    files = {file.path for file in done.client.list_artifacts(done.run_id, "evaluation")}
    assert "evaluation/outside.png" in files


def test_an_outside_image_that_was_seen_in_the_data_is_named_and_not_counted(done):
    table = pd.read_parquet(done.client.download_artifacts(done.result.pipeline_run_id, "data/manifest.parquet"))
    split = table.set_index("path").loc["red/000.png", "split"]
    assert f"outside images left out (in the data set already: {split}): red/000.png\n" in done.said


def test_the_summary_shows_outside_images_only_where_there_are_any(done):
    from flows.summary import show_result

    assert "outside acc" in shown(show_result, done.result)
    (model,) = done.result.models
    inside = {name: value for name, value in model.metrics.items() if not name.startswith("outside")}
    mock_model = SimpleNamespace(**{**vars(model), "metrics": inside})
    without = SimpleNamespace(**{**vars(done.result), "models": (mock_model,), "best": mock_model})
    assert "outside acc" not in shown(show_result, without)


def shown(show: Any, result: Any) -> str:
    from tasks.progress import console

    with console.capture() as said:
        show(result)
    return str(said.get())


def test_a_run_that_is_evaluated_later_meets_its_outside_images_again_and_others_that_are_named(done):
    from flows.evaluate import evaluate_run

    with mock.patch.dict(os.environ, DARKROOM_HOME=str(done.folder / "home")):
        again = evaluate_run(done.run_id, unlabelled=str(done.folder / "drawn"))
    assert again.metrics["outside_accuracy"] == 0
    assert len(done.client.get_metric_history(done.run_id, "outside_gap")) == 2
    classified = pd.read_csv(done.client.download_artifacts(done.run_id, "evaluation/unlabelled_predictions.csv"))
    assert classified["path"].tolist() == [f"{number:03}.png" for number in range(45)]
    assert set(classified["predicted"]) == {"red"}
    assert "evaluation/unlabelled.png" in {file.path for file in done.client.list_artifacts(done.run_id, "evaluation")}


def test_outside_images_that_are_gone_later_cost_a_run_their_figures_alone(tmp_path):
    from flows.evaluate import _find_elsewhere_later
    from pipeline_config.experiment import Dataset, Experiment
    from tasks.progress import console
    from tasks.records import Elsewhere

    gone = Experiment(
        name="later",
        dataset=Dataset(source="digits"),
        models=[SVM],
        evaluation={"outside": str(tmp_path / "gone")},
    )
    with console.capture() as said:
        assert _find_elsewhere_later(gone, SimpleNamespace(class_names=("blue", "red"))) == Elsewhere()
    assert f"warning: evaluated without outside images: evaluation.outside: no folder {tmp_path / 'gone'}" in said.get()


def test_a_folder_that_is_no_class_ends_the_command_with_code_2_before_anything_is_done(done, darkroom, tmp_path):
    shutil.copytree(done.folder / "outside" / "red", tmp_path / "outside" / "green")
    finished = darkroom(
        "run", done.folder / "outside.yaml", "--json", "--set", f"evaluation.outside={tmp_path / 'outside'}",
        home=tmp_path / "home",
    )  # fmt: skip
    assert finished.code == 2, finished.stderr
    assert "named as a class of the data set: blue, red; received 'green'" in finished.answer["error"]
    assert not (tmp_path / "home" / "mlflow.db").exists()
