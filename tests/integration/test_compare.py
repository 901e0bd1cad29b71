"""`darkroom compare` on runs in SQLite: what its targets mean, what it refuses, what it writes and logs."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

CLASSES = ("blue", "red")
ROWS = 100
IMAGE = np.full((6, 8, 3), 200, dtype=np.uint8)


class Unplugged(Exception):
    """Ends a run."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]) -> Path:
    """One home for the module, as a new database takes seconds; each test uses an experiment of its own in it."""
    return new_home(tmp_path_factory.mktemp("compared") / "home")


@pytest.fixture
def home_folder(store: Path) -> Path:
    (store / "cache").mkdir(exist_ok=True)
    return store


@pytest.fixture
def client() -> Any:
    import mlflow

    from pipeline_config.settings import Settings

    return mlflow.MlflowClient(Settings().tracking_uri)


def tags_of(experiment: str, digest: str = "t" * 64) -> Any:
    from tasks.tracking import RunTags

    return RunTags(experiment, "c" * 64, None, data_digest="d" * 64, test_digest=digest)


@pytest.fixture
def log_pipeline(tmp_path: Path, client: Any) -> Any:
    """`log_pipeline("name", cnn=5, svm=9)`: an evaluated pipeline whose models have so many test rows wrong.

    A model with None instead was trained and not evaluated. Returns the pipeline's id and the models by name.
    """
    from tasks import tracking

    def log(experiment: str, digest: str = "t" * 64, fails: bool = False, **wrong: int | None) -> SimpleNamespace:
        tags, models = tags_of(experiment, digest), {}
        with suppress(Unplugged), tracking.run("pipeline", "pipeline", tags) as pipeline:
            for name, count in wrong.items():
                with tracking.run("train", name, tags, pipeline) as run_id:
                    models[name] = log_model(client, run_id, name, digest, count, tmp_path)
            if fails:
                raise Unplugged("the plug was pulled")
        return SimpleNamespace(id=pipeline, models=models)

    return log


def log_model(client: Any, run_id: str, name: str, digest: str, wrong: int | None, folder: Path) -> Any:
    """A network has curves, and other models one value. Of the test images the one in row 5 exists: `IMAGE`."""
    from mlflow.entities import LoggedModelOutput

    from tasks import predictions, tracking
    from tasks.evaluate.metrics import test_metrics
    from tasks.image_id import image_id
    from tasks.records import EvaluatedModel

    family = "linear_svm" if name == "svm" else "cnn_plain"
    kind = "sklearn" if name == "svm" else "keras"
    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, source_run_id=run_id, model_type=kind)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    tracking.log_params(run_id, {"family": family, "train": {"optimizer": "adam", "learning_rate": 0.001}})
    tracking.set_tags(run_id, {"darkroom.diagnosis": "good", "mlflow.note.content": "Good: it works."})
    if wrong is None:
        return run_id
    labels = np.arange(ROWS) % 2
    said = np.where(np.arange(ROWS) < wrong, 1 - labels, labels)
    ids = [image_id(IMAGE) if row == 5 else f"{row:064}" for row in range(ROWS)]
    table = predictions.make_table(ids, labels, np.eye(2)[said], CLASSES)
    curves = {"val_accuracy": [0.5, 0.7, 0.9], "val_loss": [2.0, 1.0, 0.5]}
    tracking.log_history(run_id, curves if kind == "keras" else {"val_accuracy": [0.9], "val_loss": [0.5]})
    path = folder / run_id / "predictions.parquet"
    predictions.write(table, path)
    tracking.log_files(run_id, path.parent, "evaluation")
    metrics = test_metrics(table)
    tracking.log_metrics(run_id, metrics)
    return EvaluatedModel(name, family, run_id, logged.model_id, logged.model_uri, path, digest, metrics)


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`compare("digits", "--force")`: exit code and JSON answer of the command, in this process."""
    from typer.testing import CliRunner

    from flows.cli import app
    from tasks.progress import console

    monkeypatch.setattr(console, "quiet", True)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        with capsys.disabled():
            finished = CliRunner().invoke(app, ["compare", *arguments, "--json"])
        return finished.exit_code, json.loads(finished.stdout)

    return run


def models_in(answer: dict[str, Any]) -> list[str]:
    return [row["model"] for row in answer["rows"]]


def test_an_experiment_stands_for_its_latest_finished_pipeline_run(log_pipeline, compare, home):
    log_pipeline("latest", older=1)
    log_pipeline("latest", cnn=5, svm=40)
    log_pipeline("latest", broken=0, fails=True)
    code, answer = compare("latest")
    assert (code, models_in(answer), answer["left_out"]) == (0, ["cnn", "svm"], [])
    cnn, svm = answer["rows"]
    assert (cnn["test_accuracy"], cnn["tied_with_best"], cnn["optimizer"]) == (0.95, True, "adam 0.001")
    assert (svm["rank"], svm["tied_with_best"], svm["optimizer"]) == (2, False, None)
    assert (cnn["family"], cnn["diagnosis"], cnn["comment"]) == ("cnn_plain", "good", "Good: it works.")
    assert Path(answer["folder"]).parent == home / "comparisons"


def test_runs_of_any_kind_are_compared_each_once_where_they_were_told_to_be_written(log_pipeline, compare, tmp_path):
    first, second = log_pipeline("once", cnn=5), log_pipeline("again", svm=3)
    folder = tmp_path / "new" / "folder"
    code, answer = compare(first.id, first.models["cnn"].run_id, "again", second.id, "--output", str(folder))
    assert (code, models_in(answer)) == (0, ["svm", "cnn"])
    names = [f"comparison.{kind}" for kind in ("csv", "html", "md")]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "pairs.csv"]


def test_other_test_rows_are_refused_with_code_2_unless_forced(log_pipeline, compare):
    here, there = log_pipeline("here", cnn=5), log_pipeline("there", digest="u" * 64, cnn=1)
    code, answer = compare("here", "there")
    assert code == 2
    assert f"cnn (run {there.models['cnn'].run_id[:8]}) on test rows {'u' * 12}" in answer["error"]
    code, answer = compare("here", "there", "--force")
    assert (code, [row["rank"] for row in answer["rows"]]) == (0, [1, 1])
    assert [row["run_id"] for row in answer["rows"]] == [run.models["cnn"].run_id for run in (here, there)]


def test_a_model_that_was_not_evaluated_is_named_or_refused_when_asked_for(log_pipeline, compare):
    pipeline = log_pipeline("half", cnn=5, hasty=None)
    code, answer = compare("half")
    assert (code, models_in(answer)) == (0, ["cnn"])
    assert "hasty" in answer["left_out"][0]
    code, answer = compare(pipeline.models["hasty"])
    assert code == 2
    assert f"train run {pipeline.models['hasty']} (hasty) that is FINISHED" in answer["error"]
    assert "darkroom run half" in answer["error"]


def test_targets_that_name_nothing_are_told_with_the_likely_mend(log_pipeline, compare):
    log_pipeline("butterflies", none=None)
    log_pipeline("hopeless", cnn=1, fails=True)
    for target, mend in {
        "buterflies": "did you mean 'butterflies'?",
        "cifar10": "experiment 'cifar10' has no run in sqlite:",
        "butterflies": "has no model that was evaluated",
        "hopeless": "that is FAILED: Unplugged: the plug was pulled; run it with `darkroom run hopeless`",
        "0123456789abcdef": "no experiment and no run '0123456789abcdef'",
    }.items():
        code, answer = compare(target)
        assert (code, mend in answer["error"]) == (2, True), answer


def test_lost_predictions_cost_their_model_the_paired_test_and_nothing_else(log_pipeline, compare, home):
    pipeline = log_pipeline("lost", cnn=5, svm=6)
    (gone,) = home.glob(f"artifacts/{pipeline.models['svm'].run_id}/artifacts/evaluation/predictions.parquet")
    gone.unlink()
    code, answer = compare("lost")
    assert (code, [row["tied_with_best"] for row in answer["rows"]]) == (0, [True, None])


def test_a_file_is_no_folder_to_write_to(log_pipeline, compare, tmp_path):
    log_pipeline("written", cnn=5)
    (tmp_path / "taken").write_text("mine")
    code, answer = compare("written", "--output", str(tmp_path / "taken"))
    assert (code, "--output: expected a folder" in answer["error"]) == (2, True)


def test_people_see_the_table_in_100_columns_and_where_the_files_are(log_pipeline, monkeypatch, tmp_path):
    from rich.console import Console

    import flows.compare

    log_pipeline("seen", **{"[red]a_model_with_a_name_that_is_longer_than_any_column_should_be": 5, "svm": 6})
    shown = Console(record=True, width=200, file=io.StringIO(), highlight=False)
    monkeypatch.setattr(flows.compare, "console", shown)
    monkeypatch.setattr(flows.compare, "say", lambda sentence: shown.print(sentence, markup=False, soft_wrap=True))
    flows.compare.compare_runs(["seen"], tmp_path / "files", force=False)
    text = shown.export_text()
    lines = text.splitlines()
    table = lines[: lines.index(next(line for line in lines if line.startswith("≈")))]
    assert max(map(len, table)) <= 100
    assert "2 models on 100 test images" in text
    assert "[red]a_model" in text
    assert "2 ≈  svm" in text
    assert "None of 1 pair differs by more than chance (exact McNemar, Holm)" in text
    assert "0.9500" in text
    assert str(tmp_path / "files" / "comparison.html") in text


def write_image(folder: Path) -> Any:
    """A data set of the one image that `log_model` knows."""
    import pandas as pd
    from PIL import Image

    from tasks import manifest
    from tasks.image_id import image_id
    from tasks.records import Manifest

    (folder / "red").mkdir(parents=True)
    Image.fromarray(IMAGE).save(folder / "red" / "one.png")
    row = {"image_id": image_id(IMAGE), "path": "red/one.png", "label": 1, "class_name": "red", "split": "test"}
    path = folder.with_suffix(".parquet")
    manifest.write(manifest.conform(pd.DataFrame([row]).assign(status="ok", bytes=1)), path)
    return Manifest(path, "d" * 64, "t" * 64, CLASSES, (6, 8), folder, None)


def test_the_page_shows_the_curves_and_the_images_of_earlier_runs_while_their_data_are_there(
    log_pipeline, compare, tmp_path
):
    from pipeline_config.experiment import Experiment
    from tasks import tracking
    from tasks.records import Listing

    pipeline, manifest = log_pipeline("shown", cnn=5, svm=6), write_image(tmp_path / "data")
    sections = {
        "dataset": {"source": "folder", "path": str(tmp_path / "data")},
        "models": [{"name": "cnn", "family": "cnn_plain"}],
    }
    tracking.log_configuration(pipeline.id, Experiment.model_validate({"name": "shown", **sections}))
    tracking.log_data(pipeline.id, Listing(manifest.path, CLASSES, None, None), manifest)
    code, answer = compare("shown")
    page = (Path(answer["folder"]) / "comparison.html").read_text()
    assert (code, page.count("<polyline"), page.count("data:image/png")) == (0, 2, 1)
    assert [(pair["first"], pair["only_first"], pair["differs"]) for pair in answer["pairs"]] == [("cnn", 1, False)]
    shutil.rmtree(tmp_path / "data")
    code, answer = compare("shown")
    page = (Path(answer["folder"]) / "comparison.html").read_text()
    assert (code, page.count("data:image/png")) == (0, 0)
    assert "The images are not at hand: dataset.path" in page


def test_the_pipeline_logs_the_comparison_of_its_models(log_pipeline, client, home, monkeypatch, tmp_path):
    import tasks.compare.task

    told: dict[str, str] = {}
    monkeypatch.setattr(tasks.compare.task, "create_markdown_artifact", lambda text, key: told.update({key: text}))
    pipeline = log_pipeline("logged", cnn=5, svm=6)
    manifest = write_image(tmp_path / "data")
    tasks.compare.task.log_comparison.fn(list(pipeline.models.values()), pipeline.id, manifest)
    assert [file.path for file in client.list_artifacts(pipeline.id, "comparison")] == [
        *(f"comparison/comparison.{kind}" for kind in ("csv", "html", "md")),
        "comparison/pairs.csv",
    ]
    (markdown,) = home.glob(f"artifacts/{pipeline.id}/artifacts/comparison/comparison.md")
    assert "| 1 | cnn | 0.9500 |" in markdown.read_text()
    assert told == {"comparison": markdown.read_text()}
    page = markdown.with_suffix(".html").read_text()
    assert page.count("data:image/png") == 1
    assert "1 image</span>" in page


def test_a_comparison_that_cannot_be_made_is_a_warning_and_loses_nothing(monkeypatch):
    from prefect.states import Failed

    import flows.pipeline

    said: list[str] = []
    failed = Failed(data=FileNotFoundError("predictions.parquet"))
    monkeypatch.setattr(flows.pipeline, "say", said.append)
    monkeypatch.setattr(flows.pipeline, "log_comparison", lambda *_, return_state: failed if return_state else None)
    flows.pipeline._compare([], "0" * 32, None)
    assert said == ["warning: the comparison of the models could not be logged: FileNotFoundError: predictions.parquet"]
