"""The whole chain with MLflow and Prefect as servers: what a data scientist finds there afterwards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml

MODELS = ("cnn", "svm")
EVALUATION = {
    "predictions.parquet",
    "metrics.json",
    "classification_report.csv",
    "classification_report.txt",
    "confusion_matrix.csv",
    "confusion_matrix.txt",
    "confusion_matrix.png",
    "confusion_matrix_normalised.png",
    "most_confused.png",
    "class_curves.png",
    "calibration.png",
    "sample.npz",
    "slices.csv",
    "slices.png",
    "confident_mistakes.png",
    "unsure_hits.png",
    "random_sample.png",
    "label_errors.csv",
    "label_errors.png",
}
OF_NETWORKS = {"layers", "dense_layers", "trainable_parameters", "learning_rate"}
FIT_METRICS = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
WITH_INTERVAL = ("accuracy", "loss", "macro_f1", "roc_auc", "ece", "brier")
FINAL_METRICS = {
    "chosen_epoch",
    "chosen_val_accuracy",
    "chosen_val_loss",
    "epochs",
    "fit_seconds",
    "images_per_second",
    "parameters",
    *(f"test_{name}{end}" for name in WITH_INTERVAL for end in ("", "_low", "_high")),
    *(f"test_{average}_{name}" for average in ("macro", "weighted") for name in ("precision", "recall")),
    "test_weighted_f1",
    "test_worst_class_recall",
    "test_average_precision",
    *(f"predict_ms_{which}" for which in ("per_image", "batch1", "batch1_p95", "batch32", "batch32_p95")),
    "peak_memory_bytes",
    "model_bytes",
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory, darkroom, pictures, write_experiment, servers) -> SimpleNamespace:
    """One run of the tiny experiment on both servers, and clients to look at them."""
    import mlflow

    folder = tmp_path_factory.mktemp("chain")
    shutil.copytree(pictures, folder / "pictures")
    experiment = write_experiment(folder / "colours.yaml", folder / "pictures")
    finished = darkroom("run", experiment, "--json", home=folder / "home", **servers)
    assert finished.code == 0, finished.stderr
    client = mlflow.MlflowClient(servers["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("colours").experiment_id])
    return SimpleNamespace(
        answer=json.loads(finished.stdout.splitlines()[-1]),
        finished=finished,
        home=folder / "home",
        pictures=folder / "pictures",
        client=client,
        runs={run.info.run_name: run for run in runs},
        folder=folder,
        prefect_url=servers["PREFECT_API_URL"],
    )


def files(chain: Any, run: str, folder: str | None = None) -> set[str]:
    return {Path(file.path).name for file in chain.client.list_artifacts(chain.runs[run].info.run_id, folder)}


def read(chain: Any, run: str, path: str) -> Path:
    return Path(chain.client.download_artifacts(chain.runs[run].info.run_id, path, str(chain.folder)))


def test_stdout_is_one_line_of_json_and_stderr_is_silent(chain):
    assert chain.finished.stdout.splitlines() == [json.dumps(chain.answer)]
    assert chain.finished.stderr == ""


# MLflow: runs.


def test_every_run_is_finished(chain):
    assert {name: run.info.status for name, run in chain.runs.items()} == {
        "pipeline colours": "FINISHED",
        "cnn": "FINISHED",
        "svm": "FINISHED",
        "promote svm": "FINISHED",
    }


def test_train_runs_stand_below_the_pipeline_run(chain):
    pipeline = chain.runs["pipeline colours"]
    assert pipeline.info.run_id == chain.answer["pipeline_run_id"]
    assert "mlflow.parentRunId" not in pipeline.data.tags
    for model in MODELS:
        assert chain.runs[model].data.tags["mlflow.parentRunId"] == pipeline.info.run_id


@pytest.mark.parametrize(("run", "kind"), [("pipeline colours", "pipeline"), ("cnn", "train"), ("svm", "train")])
def test_every_run_is_tagged_with_what_it_was_made_from(chain, run, kind):
    tags = chain.runs[run].data.tags
    assert tags["darkroom.kind"] == kind
    assert tags["darkroom.experiment"] == "colours"
    assert tags["darkroom.data_digest"] == chain.answer["data_digest"]
    assert len(tags["darkroom.config_digest"]) == 64
    assert tags["darkroom.config_digest"] == chain.runs["cnn"].data.tags["darkroom.config_digest"]
    assert tags["prefect.flow_run_id"] == flow_runs(chain, "pipeline")[0]["id"]
    assert len(tags["darkroom.git_commit"].removesuffix("-dirty")) == 40


def test_the_resolved_configuration_is_logged_as_file_and_params(chain):
    config = yaml.safe_load(read(chain, "pipeline colours", "config.yaml").read_text())
    assert config["models"][0]["train"]["batch_size"] == 16
    assert config["split"]["seed"] == 0  # a default that the file does not name
    params = chain.runs["pipeline colours"].data.params
    assert params["models.cnn.params.filters"] == "[4]"
    assert params["validation.max_quarantined"] == "0.05"
    assert chain.runs["cnn"].data.params["train.epochs"] == "2"


@pytest.mark.parametrize("model", MODELS)
def test_every_model_s_curves_are_diagnosed_in_a_word_and_a_sentence(chain, model):
    tags = chain.runs[model].data.tags
    word, sentence = tags["darkroom.diagnosis"], tags["mlflow.note.content"]
    assert sentence.lower().startswith(word.replace("_", " "))


# MLflow: metrics and artifacts.


@pytest.mark.parametrize(("model", "more"), [("cnn", OF_NETWORKS), ("svm", set())])
def test_metrics_have_the_agreed_names(chain, model, more):
    assert set(chain.runs[model].data.metrics) == FIT_METRICS | FINAL_METRICS | more


def test_network_is_drawn_and_told_in_figures(chain):
    assert read(chain, "cnn", "layers.png").read_bytes().startswith(b"\x89PNG")
    layers = pd.read_csv(read(chain, "cnn", "layers.csv"))
    assert layers["parameters"].sum() == chain.runs["cnn"].data.metrics["parameters"]
    assert layers["kind"].str.contains("Conv2D 3×3, 4, relu").sum() == 1
    params = chain.runs["cnn"].data.params
    assert params["network.batch_normalization"] == "False"
    assert (params["network.dropout"], params["network.loss"]) == ("none", "categorical cross-entropy")
    assert chain.runs["cnn"].data.metrics["dense_layers"] == 2


@pytest.mark.parametrize(("model", "steps"), [("cnn", [1, 2]), ("svm", [1])])
def test_curves_have_a_point_for_each_epoch(chain, model, steps):
    history = chain.client.get_metric_history(chain.runs[model].info.run_id, "val_loss")
    assert [point.step for point in history] == steps


@pytest.mark.parametrize("model", MODELS)
def test_the_test_metrics_are_linked_to_the_logged_model(chain, model):
    logged = chain.client.get_logged_model(model_id(chain, model))
    metrics = {metric.key: metric.value for metric in logged.metrics}
    assert set(metrics) >= {name for name in FINAL_METRICS if name.startswith("test_")}
    assert metrics["test_accuracy"] == chain.runs[model].data.metrics["test_accuracy"]


def model_id(chain: Any, model: str) -> str:
    (entry,) = [entry for entry in chain.answer["models"] if entry["name"] == model]
    return str(entry["model_uri"]).removeprefix("models:/")


def test_the_pipeline_run_holds_the_data_and_the_decision(chain):
    assert files(chain, "pipeline colours") == {"comparison", "config.yaml", "data", "promotion.json"}
    data = files(chain, "pipeline colours", "data")
    assert data >= {"validation_report.html", "validation_report.md", "validation_report.json", "about.json"}
    assert len([name for name in data if name.endswith(".parquet")]) == 1


def test_the_logged_manifest_has_every_image_with_its_split(chain):
    (name,) = (name for name in files(chain, "pipeline colours", "data") if name.endswith(".parquet"))
    manifest = pd.read_parquet(read(chain, "pipeline colours", f"data/{name}"))
    assert manifest.groupby(["class_name", "split"]).size().to_dict() == {
        (colour, split): count
        for colour in ("blue", "red")
        for split, count in {"train": 22, "validation": 8, "test": 10}.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_train_run_holds_its_evaluation(chain, model):
    assert files(chain, model, "evaluation") == EVALUATION


def test_a_training_with_epochs_has_curves(chain):
    assert read(chain, "cnn", "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "curves.png" not in files(chain, "svm")


@pytest.mark.parametrize("model", MODELS)
def test_the_metrics_are_those_of_the_predictions_table(chain, model):
    table = pd.read_parquet(read(chain, model, "evaluation/predictions.parquet"))
    probabilities = table[["probability.blue", "probability.red"]].to_numpy()
    accuracy = float((probabilities.argmax(axis=1) == table["label"]).mean())
    assert len(table) == 20
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert json.loads(read(chain, model, "evaluation/metrics.json").read_text())["test_accuracy"] == accuracy
    assert chain.runs[model].data.metrics["test_accuracy"] == accuracy
    counts = pd.read_csv(read(chain, model, "evaluation/confusion_matrix.csv"), index_col=0).to_numpy()
    assert np.trace(counts) / counts.sum() == accuracy


@pytest.mark.parametrize("model", MODELS)
def test_the_rows_of_each_split_are_an_input_of_the_train_run(chain, model):
    inputs = chain.client.get_run(chain.runs[model].info.run_id).inputs.dataset_inputs
    rows = {entry.tags[0].value: json.loads(entry.dataset.profile)["num_rows"] for entry in inputs}
    assert rows == {"train": 44, "validation": 16, "test": 20}
    assert {entry.dataset.digest for entry in inputs} == {chain.answer["data_digest"][:16]}


# MLflow: models and registry.


@pytest.mark.parametrize(("model", "packages"), [("cnn", ["tensorflow", "keras"]), ("svm", ["scikit-learn", "skops"])])
def test_the_logged_model_has_signature_example_and_explicit_requirements(chain, model, packages, tmp_path):
    import mlflow

    uri = f"models:/{model_id(chain, model)}"
    mlflow.set_tracking_uri(chain.client.tracking_uri)
    info = mlflow.models.get_model_info(uri)
    assert info.signature.inputs.input_names() == ["image", "pixels"]
    assert info.signature.outputs.input_names() == ["label", "confidence", "probabilities", "box", "note"]
    assert info.saved_input_example_info["artifact_path"] == "input_example.json"
    requirements = (
        (Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path))) / "requirements.txt")
        .read_text()
        .split()
    )
    assert [line.split("==")[0] for line in requirements if "==" in line] == ["mlflow", *packages, "numpy"]


@pytest.mark.parametrize("model", MODELS)
def test_the_model_loaded_by_mlflow_reproduces_the_logged_predictions_from_raw_pixels(chain, model, tmp_path):
    import mlflow
    from PIL import Image

    mlflow.set_tracking_uri(chain.client.tracking_uri)
    (name,) = (name for name in files(chain, "pipeline colours", "data") if name.endswith(".parquet"))
    manifest = pd.read_parquet(read(chain, "pipeline colours", f"data/{name}")).set_index("image_id")
    table = pd.read_parquet(read(chain, model, "evaluation/predictions.parquet"))
    paths = [chain.pictures / path for path in manifest.loc[table["image_id"], "path"]]
    records = [{"pixels": np.asarray(Image.open(path))} for path in paths]
    answers = mlflow.pyfunc.load_model(f"models:/{model_id(chain, model)}", dst_path=str(tmp_path)).predict(records)
    logged = table[["probability.blue", "probability.red"]].to_numpy()
    said = [[answer["probabilities"][name] for name in ("blue", "red")] for answer in answers]
    np.testing.assert_allclose(said, logged, atol=1e-5)


def test_the_best_model_is_registered_as_champion(chain):
    version = chain.client.get_model_version_by_alias("colours", "champion")
    assert chain.answer["promotion"]["decision"] == "promoted"
    assert int(version.version) == chain.answer["promotion"]["version"] == 1
    assert version.run_id == chain.answer["best"]["run_id"]
    assert version.tags["darkroom.data_digest"] == chain.answer["data_digest"]
    assert version.tags["gate.threshold_test_accuracy"].startswith("passed: test_accuracy is ")


@pytest.fixture
def with_model(chain, darkroom_here, monkeypatch) -> Callable[..., dict[str, Any]]:
    """`with_model("predict", …)`: a command that uses a model of the MLflow server, which hands out its files."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", chain.client.tracking_uri)
    return lambda *words: darkroom_here(*words, "--json", home=chain.home).answer


def test_predict_uses_the_champion_that_the_server_hands_out(chain, with_model):
    path = chain.pictures / "red" / "000.png"
    answer = with_model("predict", path, "--experiment", "colours")
    assert (answer["model_uri"], answer["predictions"][0]["label"]) == ("models:/colours/1", "red")


def test_export_takes_a_run_of_the_server(chain, with_model, tmp_path):
    run_id = chain.runs["cnn"].info.run_id
    answer = with_model("export", "--format", "saved_model", "--model", run_id, "--output", tmp_path / "out")
    assert (answer["status"], answer["model_uri"]) == ("done", f"models:/{model_id(chain, 'cnn')}")
    assert (tmp_path / "out" / "saved_model" / "saved_model.pb").is_file()


# Prefect.


def flow_runs(chain: Any, flow: str) -> list[dict[str, Any]]:
    query = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {}}
    found: list[dict[str, Any]] = (
        httpx.post(f"{chain.prefect_url}/flow_runs/filter", json=query).raise_for_status().json()
    )
    tagged = chain.runs["pipeline colours"].data.tags["prefect.flow_run_id"]
    mine = [run for run in found if tagged in (run["id"], parent_flow_run(chain, run))]
    assert mine, f"the server knows no run of flow {flow}: {found}"
    return mine


def parent_flow_run(chain: Any, flow_run: dict[str, Any]) -> str | None:
    """A subflow hangs on a task run of its parent."""
    if flow_run["parent_task_run_id"] is None:
        return None
    answer = httpx.get(f"{chain.prefect_url}/task_runs/{flow_run['parent_task_run_id']}").raise_for_status().json()
    return str(answer["flow_run_id"])


@pytest.mark.parametrize("flow", ["pipeline", "prepare", "train", "evaluate", "promote"])
def test_the_prefect_server_knows_the_flow_as_completed(chain, flow):
    (run,) = flow_runs(chain, flow)
    assert run["state_name"] == "Completed"


def test_the_prefect_server_names_the_pipeline_by_its_experiment_file(chain):
    (run,) = flow_runs(chain, "pipeline")
    assert run["name"].endswith("colours.yaml")
    assert run["parameters"]["experiment"] == run["name"]


def test_the_prefect_server_shows_the_short_report_on_the_data(chain):
    query = {"artifacts": {"key": {"any_": ["validation-report"]}}}
    answer = httpx.post(f"{chain.prefect_url}/artifacts/filter", json=query).raise_for_status().json()
    texts = [artifact["data"] for artifact in answer if artifact["type"] == "markdown"]
    assert read(chain, "pipeline colours", "data/validation_report.md").read_text() in texts


# What stays on the machine.


def test_nothing_is_tracked_at_home_and_no_process_is_left(chain):
    assert not (chain.home / "mlflow.db").exists()
    assert not (chain.home / "artifacts").exists()
    assert chain.finished.left == ()


def test_nothing_is_written_into_the_data_folder(chain, pictures):
    def names(root: Path) -> list[Path]:
        return sorted(path.relative_to(root) for path in root.rglob("*"))

    assert names(chain.pictures) == names(pictures)


def test_nothing_is_left_in_the_folder_for_temporary_files(chain):
    assert chain.finished.temporary == ()
