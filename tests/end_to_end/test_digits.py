"""The digits, from data to champion, by the command: what a new user does first."""

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(scope="module")
def client(digits: SimpleNamespace) -> Any:
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{digits.home}/mlflow.db")


def test_the_answer_is_one_line_of_json_with_the_agreed_keys(digits):
    answer = digits.first.answer
    assert set(answer) >= {
        "status",
        "experiment",
        "pipeline_run_id",
        "data_digest",
        "models",
        "best",
        "promotion",
        "seconds",
        "tracking_uri",
    }
    assert (answer["status"], answer["experiment"]) == ("done", "digits")
    assert all(set(model) >= {"family", "run_id", "model_uri", "metrics"} for model in answer["models"])
    assert set(answer["best"]) >= {"family", "run_id"}
    assert set(answer["promotion"]) >= {"decision", "version", "gates"}
    assert all(set(gate) >= {"name", "passed", "detail"} for gate in answer["promotion"]["gates"])
    assert set(answer["seconds"]) >= {"total", "prepare", "train", "evaluate", "promote"}
    assert answer["tracking_uri"] == f"sqlite:///{digits.home}/mlflow.db"


def test_nothing_but_the_answer_is_printed_and_nothing_runs_on(digits):
    assert digits.first.stderr == ""
    assert digits.first.left == ()
    assert digits.first.temporary == ()


def test_the_best_model_reads_98_of_100_digits(digits):
    best = digits.first.answer["best"]["run_id"]
    (accuracy,) = (
        model["metrics"]["test_accuracy"] for model in digits.first.answer["models"] if model["run_id"] == best
    )
    assert accuracy >= 0.98


def test_every_model_is_trained_and_none_is_at_random(digits):
    accuracies = {model["name"]: model["metrics"]["test_accuracy"] for model in digits.first.answer["models"]}
    assert set(accuracies) == {"cnn", "cnn_batchnorm", "svm"}
    assert min(accuracies.values()) >= 0.9


def test_the_best_model_becomes_champion(digits, client):
    promotion = digits.first.answer["promotion"]
    assert (promotion["decision"], promotion["version"]) == ("promoted", 1)
    assert client.get_model_version("digits", "1").run_id == digits.first.answer["best"]["run_id"]


def test_three_train_runs_the_promotion_and_the_pipeline_s_are_finished(digits, client):
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    pipeline = digits.first.answer["pipeline_run_id"]
    of_first = [run for run in runs if pipeline in (run.info.run_id, run.data.tags.get("mlflow.parentRunId"))]
    assert [run.info.status for run in of_first] == ["FINISHED"] * 5
    kinds = ["pipeline", "promotion", "train", "train", "train"]
    assert sorted(run.data.tags["darkroom.kind"] for run in of_first) == kinds


def test_it_takes_two_minutes_at_most_and_little_beside_the_fits(digits):
    assert digits.first.seconds < 120
    assert digits.overhead <= 45


def test_a_second_run_does_not_move_the_champion(digits, client):
    assert digits.second.code == 0, digits.second.stderr
    promotion = digits.second.answer["promotion"]
    assert promotion["decision"] in {"kept", "refused"}
    assert promotion["version"] == 2
    aliases = client.get_registered_model("digits").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 1, "challenger": 2}


def test_a_weak_model_that_is_proposed_by_hand_is_refused_with_code_4(digits, client, darkroom):
    (weak,) = (model["run_id"] for model in digits.second.answer["models"] if model["name"] == "cnn")
    proposed = darkroom("promote", weak, "--json", home=digits.home)
    assert proposed.code == 4, proposed.stderr
    assert "cnn is not promoted: test_accuracy is 0." in proposed.answer["error"]
    assert int(client.get_registered_model("digits").aliases["champion"]) == 1


def test_the_same_data_have_the_same_digest_in_every_run(digits):
    assert digits.second.answer["data_digest"] == digits.first.answer["data_digest"]


def test_prepare_finds_the_same_data_and_trains_nothing(digits):
    assert digits.prepared.code == 0, digits.prepared.stderr
    assert digits.prepared.answer["data_digest"] == digits.first.answer["data_digest"]
    assert (digits.folder / "prepared").exists()
    assert not list((digits.folder / "prepared").glob("artifacts/*"))


def test_check_names_every_model_with_its_parameters_and_writes_nothing(digits):
    assert digits.checked.code == 0, digits.checked.stderr
    counted = {model["name"]: model["metrics"]["parameters"] for model in digits.first.answer["models"]}
    found = {model["name"]: model["parameters"] for model in digits.checked.answer["models"]}
    assert found == {**counted, "svm": None}
    assert not (digits.folder / "checked").exists()


@pytest.mark.parametrize(
    ("what", "expected"),
    [("families", "cnn_plain"), ("sources", "folder"), ("experiments", "digits")],
)
def test_what_can_be_named_is_listed(home, darkroom, what, expected):
    finished = darkroom("list", what, home=home)
    assert (finished.code, finished.stderr) == (0, "")
    assert expected in finished.stdout.splitlines()


def test_something_else_cannot_be_listed(home, darkroom):
    finished = darkroom("list", "colours", home=home)
    assert finished.code == 2
    assert "families, sources, experiments" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_help_answers_at_once(tmp_path):
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "flows.cli", "--help"], cwd=tmp_path, check=True, capture_output=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 1.5


def test_help_loads_no_heavy_library(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "flows.cli", "--help"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    loaded = {line.split("|")[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded.isdisjoint(
        {"tensorflow", "keras", "mlflow", "prefect", "great_expectations", "sklearn", "matplotlib"}
    )
