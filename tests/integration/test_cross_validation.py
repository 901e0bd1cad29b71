"""A model on every fold and then on its ordinary split, with MLflow on SQLite, on a few handwritten digits."""

import hashlib
import math
import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Compute, Model, Split, Train
from pipeline_config.settings import Settings

CLASSES = ("0", "1", "2")
IMAGES = 20  # of each class
FOLDS = 2
TRAIN = Train(epochs=2, batch_size=16, learning_rate=0.01)
CNN = Model(
    name="cnn",
    family="cnn_plain",
    params={"filters": [4], "convolutions": 1, "dense_units": [8], "dropout": 0.2},
    train=TRAIN,
)
SVM = Model(name="svm", family="linear_svm", train=TRAIN)
LOST = CNN.model_copy(update={"name": "lost", "train": Train(epochs=1, optimizer="sgd", learning_rate=1e30)})
# A second test in this process that logs inputs: MLflow's registry of sources then knows the local one twice.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")
CROSS_VALIDATED = {"cv_val_accuracy_mean", "cv_val_accuracy_std", "cv_val_loss_mean", "cv_val_loss_std"}


def write_digits(folder: Path) -> Any:
    """A manifest of 20 images of each of three digits, the first two of each filed as near-duplicates."""
    from sklearn.datasets import load_digits

    from tasks import manifest as manifests
    from tasks.records import Manifest

    digits = load_digits()
    chosen = np.concatenate([np.flatnonzero(digits.target == label)[:IMAGES] for label in range(len(CLASSES))])
    for position in chosen:
        Image.fromarray((digits.images[position] * 15).astype(np.uint8)).save(folder / f"{position}.png")
    ids = [hashlib.sha256(str(position).encode()).hexdigest() for position in chosen]
    labels = digits.target[chosen]
    groups = [ids[row - row % IMAGES] if row % IMAGES < 2 else image_id for row, image_id in enumerate(ids)]
    columns = {"image_id": ids, "group": groups, "label": labels, "class_name": labels.astype(str)}
    paths = [f"{position}.png" for position in chosen]
    table = manifests.conform(pd.DataFrame({**columns, "path": paths, "status": "ok", "bytes": 1}))
    manifests.write(table, folder / "manifest.parquet")
    return Manifest(folder / "manifest.parquet", "d" * 64, "t" * 64, CLASSES, (8, 8), root=folder, store=None)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]) -> Any:
    """Both models with folds, the network fitted without any, and one whose loss is lost; and MLflow."""
    import mlflow

    from tasks.input_pipeline import open_image_set
    from tasks.split.task import split_dataset
    from tasks.tracking import RunTags, run
    from tasks.train import computed
    from tasks.train.cross_validation import cross_validate
    from tasks.train.task import train_model

    folder = tmp_path_factory.mktemp("cross_validation")
    manifest = split_dataset.fn(write_digits(folder), Split(test=4, validation=4, folds=FOLDS))
    tags = RunTags("folds", "c" * 64, None, manifest.digest, manifest.test_digest)
    with (
        mock.patch.dict(os.environ, DARKROOM_HOME=str(new_home(folder / "home"))),
        mock.patch("tasks.train.cross_validation.fit_planned", wraps=computed.fit_planned) as fitted,
    ):
        Settings().cache.mkdir(parents=True)
        with run("pipeline", "pipeline", tags) as pipeline:
            cnn = train_model.fn(CNN, manifest, tags, pipeline, Compute())
            with run("train", "svm", tags, pipeline) as svm_id:
                images = open_image_set(manifest, Settings().cache)
                metrics = cross_validate(SVM, images, manifest, tags, svm_id, Compute())
                svm = SimpleNamespace(run_id=svm_id, metrics=metrics)
            with pytest.raises(DarkroomError) as caught:
                train_model.fn(LOST, manifest, tags, pipeline, Compute())
        client = mlflow.MlflowClient(Settings().tracking_uri)
    return SimpleNamespace(
        client=client,
        runs=client.search_runs([client.get_experiment_by_name("folds").experiment_id]),
        calls=[call.args for call in fitted.call_args_list],
        manifest=manifest,
        images=images,
        tags=tags,
        cnn=cnn,
        svm=svm,
        lost=str(caught.value),
    )


def below(done: Any, run_id: str) -> list[Any]:
    """Runs directly below another, by name."""
    found = [run for run in done.runs if run.data.tags.get("mlflow.parentRunId") == run_id]
    return sorted(found, key=lambda run: str(run.info.run_name))


@pytest.mark.parametrize("name", ["cnn", "svm"])
def test_every_fold_is_a_run_below_the_model_s_own(done, name):
    folds = below(done, getattr(done, name).run_id)
    assert [run.info.run_name for run in folds] == [f"{name} fold {number} of 2" for number in (1, 2)]
    assert {run.info.status for run in folds} == {"FINISHED"}
    assert {run.data.tags["darkroom.kind"] for run in folds} == {"fold"}
    assert {run.data.tags["darkroom.data_digest"] for run in folds} == {
        done.client.get_run(getattr(done, name).run_id).data.tags["darkroom.data_digest"]
    }


def test_a_fold_s_run_holds_its_settings_curves_and_validation_figures(done):
    for number, run in enumerate(below(done, done.cnn.run_id)):
        assert run.data.params["train.learning_rate"] == "0.01"
        assert run.data.params["params.filters"] == "(4,)"
        assert run.data.params["fold"] == str(number)
        history = done.client.get_metric_history(run.info.run_id, "val_loss")
        assert [point.step for point in history] == [1, 2]
        assert [file.path for file in done.client.list_artifacts(run.info.run_id)] == ["curves.png"]
        assert run.data.metrics.keys() >= {"chosen_val_accuracy", "chosen_val_loss", "fit_seconds", "parameters"}
        assert not [metric for metric in run.data.metrics if metric.startswith("test")]
        assert run.outputs is None or not run.outputs.model_outputs


@pytest.mark.parametrize("name", ["cnn", "svm"])
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_mean_and_deviation_are_those_of_the_folds_runs(done, name, metric):
    model = getattr(done, name)
    values = [run.data.metrics[f"chosen_{metric}"] for run in below(done, model.run_id)]
    assert model.metrics[f"cv_{metric}_mean"] == pytest.approx(sum(values) / FOLDS)
    assert model.metrics[f"cv_{metric}_std"] == pytest.approx(statistics.stdev(values))
    assert (name, metric) != ("cnn", "val_loss") or len(set(values)) == FOLDS  # else any deviation would be zero


def test_the_model_s_run_holds_mean_and_deviation_beside_its_own_figures(done):
    logged = done.client.get_run(done.cnn.run_id).data.metrics
    assert done.cnn.metrics.items() <= logged.items()
    assert done.cnn.metrics.keys() > CROSS_VALIDATED


def test_each_fold_is_held_out_once_and_no_test_image_is_seen(done):
    table = pd.read_parquet(done.manifest.path)
    allowed = table[table["split"] != "test"]
    assert len(table) - len(allowed) == 4 * len(CLASSES)
    for model in ("cnn", "svm"):
        sets = [images for _, _, images, _, name, _ in done.calls if name.startswith(f"{model} ")]
        assert len(sets) == FOLDS
        held_out: list[str] = []
        for images in sets:
            training, validation = (images.rows.iloc[images.positions(split)] for split in ("train", "validation"))
            assert images.positions("test").size == 0
            assert not set(training["group"]) & set(validation["group"])
            assert {*training["image_id"], *validation["image_id"]} == set(allowed["image_id"])
            held_out += validation["image_id"].tolist()
        assert sorted(held_out) == sorted(allowed["image_id"])


def test_every_fold_starts_from_a_model_of_its_own(done):
    networks = [call[0] for call in done.calls]
    assert len({id(network) for network in networks}) == len(networks) == 2 * FOLDS + 1


def test_the_model_itself_is_fitted_as_without_folds(done):
    from tasks.train.compute.policy import Policy
    from tasks.train.computed import fit_planned
    from tasks.train.outcome import measure_fit
    from tasks.train.registry import build_model

    network = build_model(CNN, (8, 8, 3), len(CLASSES))
    policy = Policy("float32", fused_batch_normalization=True, jit=False, threads=1)
    alone = measure_fit(
        network, done.images, CLASSES, fit_planned(network, policy, done.images, CNN, "cnn", checkpoint=None)
    )
    assert done.cnn.metrics.keys() - alone.keys() == CROSS_VALIDATED
    for metric in ("chosen_val_loss", "chosen_val_accuracy"):
        assert done.cnn.metrics[metric] == pytest.approx(alone[metric], rel=1e-4)


def test_without_folds_nothing_is_fitted_or_logged(done):
    from tasks.train.cross_validation import cross_validate

    unfolded = replace(done.images, rows=done.images.rows.assign(fold=pd.NA))
    assert cross_validate(CNN, unfolded, done.manifest, done.tags, done.cnn.run_id, Compute()) == {}


def test_a_fold_that_fails_ends_failed_and_its_model_with_it(done):
    (train,) = (run for run in done.runs if run.info.run_name == "lost")
    (fold,) = below(done, train.info.run_id)
    assert done.lost.startswith("models.lost fold 1 of 2: the ")
    for run in (train, fold):
        assert run.info.status == "FAILED"
        assert done.lost in run.data.tags["darkroom.failure"]
    assert not any(math.isnan(value) for value in train.data.metrics.values())
