"""Runs of processes that are gone, in a real store: closed, and gone on with."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.tracking import RunTags

TAGS = RunTags("interrupted", "c" * 64, None, "d" * 64, "t" * 64)
KILLED = """
import os, signal
from tasks import tracking
from tasks.tracking import RunTags
tags = RunTags("interrupted", "c" * 64, None, "d" * 64, "t" * 64)
with tracking.run("pipeline", "pipeline interrupted", tags) as above, tracking.run("train", "cnn", tags, above):
    os.kill(os.getpid(), signal.SIGKILL)
"""
SVM = Model(name="svm", family="linear_svm")


@pytest.fixture
def store(home: Path, new_home) -> SimpleNamespace:
    import mlflow

    new_home(home)
    return SimpleNamespace(home=home, client=mlflow.MlflowClient(Settings().tracking_uri))


@pytest.fixture
def above() -> Iterator[str]:
    """A pipeline run that is going on, in the database of `store`, which tests name first."""
    with tracking.run("pipeline", "pipeline interrupted", TAGS) as run_id:
        yield run_id


@pytest.fixture
def killed(store) -> SimpleNamespace:
    """A pipeline with a train run, whose process was killed."""
    subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "DARKROOM_HOME": str(store.home)}, check=False)
    return store


def statuses(store) -> dict[str, str]:
    found = store.client.search_runs([store.client.get_experiment_by_name("interrupted").experiment_id])
    return {run.info.run_name: run.info.status for run in found}


def close_all() -> int:
    left = tracking.find_left_open()
    for one in left:
        tracking.close_left_open(one)
    return len(left)


def test_runs_of_a_killed_process_are_closed_and_say_why(killed):
    assert statuses(killed) == {"pipeline interrupted": "RUNNING", "cnn": "RUNNING"}
    assert close_all() == 2
    assert statuses(killed) == {"pipeline interrupted": "KILLED", "cnn": "KILLED"}
    (experiment,) = killed.client.search_experiments(filter_string="name = 'interrupted'")
    tags = killed.client.search_runs([experiment.experiment_id])[0].data.tags
    assert "without a word" in tags["darkroom.failure"]


def test_runs_of_a_process_at_work_are_left_alone(store):
    with tracking.run("pipeline", "pipeline interrupted", TAGS):
        assert close_all() == 0
        assert statuses(store) == {"pipeline interrupted": "RUNNING"}


def test_the_same_pipeline_is_gone_on_with_and_another_is_not(killed):
    assert tracking.find_interrupted(TAGS, "pipeline") is None, "it is RUNNING as far as MLflow knows"
    close_all()
    run_id = tracking.find_interrupted(TAGS, "pipeline")
    with tracking.reopened(run_id, {}):
        assert statuses(killed)["pipeline interrupted"] == "RUNNING"
    assert statuses(killed)["pipeline interrupted"] == "FINISHED"
    assert "darkroom.failure" not in killed.client.get_run(run_id).data.tags
    assert tracking.find_interrupted(TAGS, "pipeline") is None, "it has ended well"
    assert tracking.find_interrupted(RunTags("interrupted", "e" * 64, None), "pipeline") is None
    assert tracking.find_interrupted(RunTags("unheard of", "c" * 64, None), "pipeline") is None


@pytest.mark.usefixtures("killed")
def test_a_training_does_not_go_on_with_a_pipeline():
    close_all()
    assert tracking.find_interrupted(TAGS, "training") is None
    assert tracking.find_interrupted(TAGS, "pipeline")


def test_a_pipeline_of_other_code_is_not_gone_on_with(killed):
    close_all()
    run_id = tracking.find_interrupted(TAGS, "pipeline")
    killed.client.set_tag(run_id, "darkroom.code_digest", "0" * 64)
    assert tracking.find_interrupted(TAGS, "pipeline") is None


@pytest.mark.usefixtures("store")
def test_a_pipeline_below_which_nothing_was_begun_is_not_gone_on_with():
    with pytest.raises(ValueError, match="data"), tracking.run("pipeline", "pipeline interrupted", TAGS):
        raise ValueError("the data are bad")
    assert tracking.find_interrupted(TAGS, "pipeline") is None


def test_a_model_is_found_once_its_training_had_ended(store, above):
    run_id = interrupted_training(above)
    assert found(above).run_id == run_id
    assert statuses(store)["svm"] == "FINISHED"
    other = SVM.model_copy(update={"params": {"c": 2.0}})
    assert tracking.find_finished_model(above, tracking.model_digest(other, Compute()), TAGS) is None


def test_a_model_whose_files_are_gone_is_not_found(store, above):
    interrupted_training(above)
    (folder,) = store.home.glob("artifacts/models/*/artifacts")
    folder.rename(store.home / "gone")
    assert found(above) is None


def interrupted_training(above: str) -> str:
    """Interrupted when all was logged, just before its run had ended."""
    try:
        with tracking.train_run(SVM, Compute(), TAGS, above) as run_id:
            tracking.log_params(run_id, {"family": "linear_svm"})
            model_id = log_svm(run_id)
            assert found(above) is None, "its metrics are not there"
            tracking.log_metrics(run_id, {"fit_seconds": 1.0}, model_id)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return run_id


def found(above: str):
    return tracking.find_finished_model(above, tracking.model_digest(SVM, Compute()), TAGS)


def log_svm(run_id: str) -> str:
    import numpy as np

    from tasks.train.registry import build_model

    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8)
    model = build_model(SVM, (4, 4, 3), 2).fit(pixels, [0, 1] * 4)
    return tracking.log_model(run_id, model, pixels[:2], model.predict_proba(pixels[:2]), ("blue", "red"))


def test_only_one_process_at_a_time_is_at_a_pipeline(home):
    with tracking.pipeline_held(TAGS) as first:
        other = """
from tasks import tracking
from tasks.tracking import RunTags
with tracking.pipeline_held(RunTags("interrupted", "c" * 64, None)) as alone:
    print(alone)
"""
        environment = {**os.environ, "DARKROOM_HOME": str(home)}
        said = subprocess.run(
            [sys.executable, "-c", other], env=environment, capture_output=True, text=True, check=True
        )
    assert (first, said.stdout.strip()) == (True, "False")
