"""kill -9 at random moments, and the same command again: it ends as if nothing had happened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import chaos

CNN = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
EXPERIMENT = {
    "name": "killed",
    "dataset": {"source": "digits", "images_per_class": 60},
    "models": [CNN, {"name": "svm", "family": "linear_svm"}],
    "train": {"epochs": 4},
    "promotion": {"thresholds": {"test_accuracy": 0.5}, "servable": False},
}


@pytest.mark.soak
def test_a_pipeline_that_is_killed_at_any_moment_is_gone_on_with_by_the_same_command(tmp_path, repository):
    file = tmp_path / "killed.yaml"
    file.write_text(yaml.safe_dump(EXPERIMENT))
    command = [sys.executable, "-m", "benchmarks.chaos", "--experiment", str(file), "--kills", "5", "--seed", "1"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    kills = json.loads(done.stdout.splitlines()[-1])["kills"]
    assert [kill["problems"] for kill in kills] == [[]] * 5
    assert any(kill["stage"] != "before any run" for kill in kills)


def outcome(**changed) -> chaos.Outcome:
    plain = {"champion": "cnn", "metrics": {"cnn": {"test_accuracy": 0.9}}, "trained": {"cnn": ["1"]}, "open_runs": []}
    return chaos.Outcome(**{**plain, **changed})


def test_whatever_is_not_as_it_was_is_told():
    assert list(chaos.compare(outcome(), outcome(), outcome())) == []
    told = {
        "champion svm instead of cnn": outcome(champion="svm"),
        "cnn: test_accuracy is 0.8 instead of 0.9": outcome(metrics={"cnn": {"test_accuracy": 0.8}}),
        "cnn was trained 2 times to the end": outcome(trained={"cnn": ["1", "2"]}),
        "cnn was finished, and trained again": outcome(trained={"cnn": ["2"]}),
        "still open: MLflow cnn": outcome(open_runs=["MLflow cnn"]),
    }
    for sentence, after in told.items():
        assert list(chaos.compare(outcome(), after, outcome())) == [sentence]


def test_a_home_without_databases_is_one_in_which_nothing_happened(tmp_path: Path):
    assert chaos.outcome(tmp_path) == chaos.Outcome(None, {}, {}, [])
