"""One run of a model with both heads and one of boxes alone, from generated images to the registry."""

import mlflow
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from tasks import predictions
from tasks.prediction import predict_heads
from tasks.tracking import fetch_model, load_model

# A second model in this process that logs inputs: MLflow's registry of sources then knows the local one twice.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")
TINY = {"filters": [4], "dense_units": [8]}
FAMILY = {"family": "class_and_box"}
BOX_FIGURES = {"test_mean_iou", "test_mean_iou_low", "test_mean_iou_high", "test_iou_above_50", "test_iou_above_75"}
EXPERIMENT = {
    "name": "tiny_boxes",
    "dataset": {"source": "shapes", "count": 72, "size": 16, "classes": 2},
    "models": [
        {"name": "both", **FAMILY, "params": TINY},
        {"name": "box", **FAMILY, "params": {**TINY, "heads": ["box"]}},
    ],
    "validation": {"near_duplicates": "off", "near_conflicts": "off", "leakage": "off"},
    "train": {"epochs": 2, "batch_size": 16},
    "promotion": {"metric": "val_mean_iou", "thresholds": {"test_mean_iou": 0.0}},
}


@pytest.fixture(scope="module")
def finished(darkroom_here, new_home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    (folder / "tiny_boxes.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return darkroom_here("run", folder / "tiny_boxes.yaml", "--json", home=new_home(folder / "home"))


@pytest.fixture
def runs(finished):
    """Name of the model -> its entry in the answer, and its run in MLflow."""
    mlflow.set_tracking_uri(finished.answer["tracking_uri"])
    models = {model["name"]: model for model in finished.answer["models"]}
    return {name: (model, MlflowClient().get_run(model["run_id"])) for name, model in models.items()}


def artifacts(run, path):
    return {entry.path.split("/")[-1] for entry in MlflowClient().list_artifacts(run.info.run_id, path)}


def test_both_models_reach_the_registrys_decision(finished):
    assert finished.code == 0, finished.answer
    assert finished.answer["promotion"]["decision"] == "promoted", finished.answer
    gates = finished.answer["promotion"]["gates"]
    names = ["threshold_test_mean_iou", "data_validated", "no_leak", "test_rows_apart", "servable"]
    assert [gate["name"] for gate in gates] == names


def test_metrics_are_those_of_the_heads(runs):
    for name, has_classes in (("both", True), ("box", False)):
        _, run = runs[name]
        assert set(run.data.metrics) >= {*BOX_FIGURES, "chosen_val_mean_iou", "chosen_val_loss", "val_mean_iou"}
        for metric in ("test_accuracy", "chosen_val_accuracy", "val_class_loss", "test_loss"):
            assert (metric in run.data.metrics) == has_classes


def test_evaluation_holds_the_picture_of_the_boxes_and_no_confusion_matrix_of_boxes_alone(runs):
    for name, has_classes in (("both", True), ("box", False)):
        written = artifacts(runs[name][1], "evaluation")
        assert {"boxes.png", "predictions.parquet", "metrics.json"} <= written
        assert ("confusion_matrix.png" in written) == has_classes
        assert "curves.png" in artifacts(runs[name][1], None)


def test_logged_model_has_its_heads_and_answers_as_it_was_evaluated(runs, tmp_path):
    model, run = runs["both"]
    loaded = load_model(fetch_model(model["model_uri"], tmp_path / "model"))
    answer = predict_heads(loaded, np.zeros((3, 20, 30, 3), np.uint8))
    assert {head: values.shape for head, values in answer.items()} == {"box": (3, 4), "probabilities": (3, 2)}
    path = MlflowClient().download_artifacts(run.info.run_id, "evaluation/predictions.parquet", str(tmp_path))
    assert predictions.ious(predictions.read(path)).mean() == pytest.approx(model["metrics"]["test_mean_iou"])
