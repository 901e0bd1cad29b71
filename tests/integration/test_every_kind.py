"""One run of every kind of model, from generated images to the registry, and what each answers over HTTP."""

import base64
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from tasks import predictions
from tasks.prediction import predict_heads
from tasks.sample import FILE, read_sample
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
        {"name": "cnn", "family": "cnn_plain", "params": {**TINY, "convolutions": 1}},
        {"name": "svm", "family": "linear_svm"},
    ],
    "validation": {"near_duplicates": "off", "near_conflicts": "off", "leakage": "off"},
    "train": {"epochs": 2, "batch_size": 16},
    "promotion": {"metric": "val_mean_iou", "thresholds": {"test_mean_iou": 0.0}},
}
SERVED = ("both", "cnn", "svm", "transfer")
# `mlflow models serve` for each name with its port; MLflow's own imports are done once for all.
SERVE = """
import os, sys
from mlflow.cli import cli

for name, port in zip(sys.argv[1::2], sys.argv[2::2]):
    if not os.fork():
        cli(["models", "serve", "-m", f"models:/{name}@champion", "--port", port, "--env-manager", "local"])
os.wait()
"""


def save_backbone(path: Path) -> str:
    import keras

    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, strides=2, activation="relu")]
    keras.Sequential([keras.Input((None, None, 3)), *layers]).save(path)
    return str(path)


@pytest.fixture(scope="module")
def finished(darkroom_here, new_home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    transfer = {"name": "transfer", "family": "transfer", "params": {"backbone": save_backbone(folder / "own.keras")}}
    experiment = {**EXPERIMENT, "models": [*EXPERIMENT["models"], transfer]}
    (folder / "tiny_boxes.yaml").write_text(yaml.safe_dump(experiment))
    done = darkroom_here("run", folder / "tiny_boxes.yaml", "--json", home=new_home(folder / "home"))
    done.home = folder / "home"
    return done


@pytest.fixture
def runs(finished):
    """Name of the model -> its entry in the answer, and its run in MLflow."""
    mlflow.set_tracking_uri(finished.answer["tracking_uri"])
    models = {model["name"]: model for model in finished.answer["models"]}
    return {name: (model, MlflowClient().get_run(model["run_id"])) for name, model in models.items()}


def artifacts(run, path):
    return {entry.path.split("/")[-1] for entry in MlflowClient().list_artifacts(run.info.run_id, path)}


def test_a_model_with_boxes_is_promoted_by_its_boxes(finished):
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


# Over HTTP.


@pytest.fixture(scope="module")
def logged(finished, tmp_path_factory) -> dict[str, SimpleNamespace]:
    """By model: test images, and what was logged of them."""
    client, found = MlflowClient(finished.answer["tracking_uri"]), {}
    for model in finished.answer["models"]:
        folder = tmp_path_factory.mktemp("logged")
        paths = [
            client.download_artifacts(model["run_id"], f"evaluation/{name}", str(folder))
            for name in (FILE, "predictions.parquet")
        ]
        sample, table = read_sample(Path(paths[0])), predictions.read(paths[1])
        rows = table.set_index("image_id").loc[list(sample.image_ids)].reset_index()
        found[model["name"]] = SimpleNamespace(pixels=sample.pixels, rows=rows)
    return found


@pytest.fixture(scope="module")
def servers(finished, darkroom, free_port, wait_until) -> Iterator[dict[str, str]]:
    """`mlflow models serve` for the champion of each name, side by side, from an empty folder; their addresses."""
    client, ports = MlflowClient(finished.answer["tracking_uri"]), {name: str(free_port()) for name in SERVED}
    for model in finished.answer["models"]:
        client.create_registered_model(model["name"])
        client.create_model_version(model["name"], model["model_uri"], run_id=model["run_id"])
        client.set_registered_model_alias(model["name"], "champion", "1")
    variables = {
        "MLFLOW_TRACKING_URI": finished.answer["tracking_uri"],
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # MLflow looks for uvicorn there
    }
    command = [sys.executable, "-c", SERVE, *(word for pair in ports.items() for word in pair)]
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with darkroom.start_other(command, home=finished.home / "served", **variables) as running:

        def answers(address: str) -> bool:
            assert running.process.poll() is None, running.wait(5).stderr
            try:
                return bool(urllib.request.urlopen(f"{address}/ping", timeout=2).status == 200)
            except OSError:
                return False

        for address in addresses.values():
            wait_until(lambda address=address: answers(address), 240, f"mlflow models serve at {address}")
        yield addresses


def post(address: str, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ask(address: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    status, answer = post(address, json.dumps({"dataframe_records": records}).encode())
    assert status == 200, answer
    return list(answer["predictions"])


def in_base64(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def check(answers: list[dict[str, Any]], rows: Any) -> None:
    """Answers are those that were logged."""
    assert [answer["note"] for answer in answers] == [""] * len(rows)
    names = predictions.class_names(rows)
    said = [[answer["probabilities"][name] for name in names] for answer in answers]
    np.testing.assert_allclose(said, predictions.probabilities(rows), atol=1e-5)
    assert [answer["label"] for answer in answers] == [names[best] for best in predictions.predicted(rows)]
    np.testing.assert_allclose([answer["confidence"] for answer in answers], np.max(said, axis=1))
    if predictions.has_boxes(rows):
        boxes = [[answer["box"][side] for side in ("x", "y", "width", "height")] for answer in answers]
        np.testing.assert_allclose(boxes, predictions.predicted_boxes(rows), atol=1e-5)
    else:
        assert {answer["box"] for answer in answers} == {None}


def test_fifty_requests_at_once_are_all_answered_as_was_logged(servers, logged):
    """Of a server that was asked nothing before: every thread finds a network that was never called."""
    pixels, rows = logged["both"].pixels, logged["both"].rows
    with ThreadPoolExecutor(50) as threads:
        asked = [number % len(pixels) for number in range(50)]
        answers = list(threads.map(lambda number: ask(servers["both"], [{"image": in_base64(pixels[number])}]), asked))
    check([answer for (answer,) in answers], rows.iloc[asked])


@pytest.mark.parametrize("name", SERVED)
def test_arrays_and_files_in_base64_are_answered_as_was_logged_for_the_same_images(servers, logged, name):
    pixels, rows = logged[name].pixels, logged[name].rows
    check(ask(servers[name], [{"pixels": one.tolist()} for one in pixels]), rows)
    check(ask(servers[name], [{"image": in_base64(one)} for one in pixels]), rows)


BAD_RECORDS: dict[str, tuple[Any, str]] = {
    "no image": ({"other": 1}, "expected one of image and pixels; received neither"),
    "no base64": ({"image": "!"}, "expected a file in base64; received another text"),
    "a wrong shape": ({"pixels": [[1, 2], [3, 4]]}, "expected pixels (height, width, 3) of numbers in 0..255"),
    "50 MB": ({"image": base64.b64encode(bytes(50_000_000)).decode()}, "expected at most 32 MB; received 50.0 MB"),
}
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "application/json"),
    "no JSON": (b"{", "application/json"),
    "no records": (b"{}", "application/json"),
    "records that are none": (b'{"dataframe_records": 7}', "application/json"),
    "another type": (b"image", "image/png"),
}


@pytest.mark.parametrize(("record", "sentence"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_a_bad_image_is_answered_in_a_sentence_beside_the_sound_ones(servers, logged, record, sentence):
    pixels, rows = logged["svm"].pixels[:1], logged["svm"].rows[:1]
    refused, sound = ask(servers["svm"], [record, {"image": in_base64(pixels[0])}])
    assert sentence in refused["note"]
    assert refused["label"] is refused["confidence"] is refused["probabilities"] is refused["box"] is None
    check([sound], rows)


@pytest.mark.parametrize(("body", "kind"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_request_is_refused_without_a_traceback(servers, body, kind):
    status, answer = post(servers["svm"], body, kind)
    assert 400 <= status < 500, answer
    assert "Traceback" not in str(answer)
