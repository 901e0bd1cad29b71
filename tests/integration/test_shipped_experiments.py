"""The recipes' experiments from their data to the registry, on real pictures and at a size that takes seconds."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from prefect.events import worker as events

from pipeline_config.settings import Settings
from tasks.tracking import store

# MLflow's registry of sources knows the local one twice from the second pipeline of a process on.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")

BACKBONE = "../weights/efficientnet_lite0_imagenet_notop.keras"
# Images of each class, and only aeroplanes and cars; one car of twenty to test with is nearly one to train with.
OF_CIFAR10 = ["dataset.max_classes=2", "split.train=8", "split.validation=4", "validation.max_leakage=0.1"]
ONE_EPOCH = ["train.epochs=1", "dataset.image_size=32"]
STAGES = [
    {"trainable": "none", "epochs": 1, "learning_rate": 0.001},
    {"trainable": 5, "epochs": 1, "learning_rate": 0.0001},
]


def few(per_class: int, part: int) -> list[str]:
    """So many images of each class, `part` of them to validate and to test with."""
    return [f"dataset.images_per_class={per_class}", f"split.validation={part}", f"split.test={part}"]


def untrained(*models: str) -> list[str]:
    """A backbone whose weights would be downloaded, drawn at random instead."""
    return [f"models.{model}.params.weights=none" for model in models]


def one_epoch_each(*models: str) -> list[str]:
    return [f"models.{model}.train.epochs=1" for model in models]


def small_filters(*models: str) -> list[str]:
    return [f"models.{model}.params.filters=[8, 8, 8]" for model in models]


# Name of the experiment -> its data, and what makes it small.
REDUCED: dict[str, tuple[str | None, list[str]]] = {
    "scenes15": (
        "scenes15",
        [
            *ONE_EPOCH,
            *few(16, 4),
            "dataset.min_images_per_class=210",
            "models=[vgg16_tuned]",
            *untrained("vgg16_tuned"),
        ],
    ),
    "boxes": (None, [*ONE_EPOCH, "dataset.count=120", "models=[both]"]),
    "animals10": (
        "animals10",
        [
            *ONE_EPOCH,
            *few(16, 4),
            "models=[tuned]",
            f"models.tuned.train.stages={STAGES}",
            "models.tuned.params.backbone={BACKBONE}",
        ],
    ),
    "cats_vs_dogs": (
        "cats_vs_dogs",
        [*ONE_EPOCH, *few(40, 8), "models=[vgg16]", "models.vgg16.params.backbone={BACKBONE}"],
    ),
    "pandas_bears": ("pandas_bears", [*ONE_EPOCH, *one_epoch_each("cnn"), "evaluation.outside={OUTSIDE}"]),
    "cifar10": (
        "tfds/cifar10",
        [
            *OF_CIFAR10,
            "models=[vgg16_augmented]",
            *one_epoch_each("vgg16_augmented"),
            "models.vgg16_augmented.params.backbone={BACKBONE}",
            "models.vgg16_augmented.params.image_size=32",
            "models.vgg16_augmented.params.convolutions=[]",
        ],
    ),
    "cifar10_fast": (
        "tfds/cifar10",
        [*OF_CIFAR10, "train.epochs=1", "train.batch_size=16", *small_filters("airbench")],
    ),
    "cifar10_blocks": (
        "tfds/cifar10",
        [
            *OF_CIFAR10,
            "train.epochs=1",
            "models=[inception, residual]",
            *small_filters("inception", "residual"),
        ],
    ),
}


@pytest.fixture(scope="module")
def experiments_home(tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]) -> Path:
    """One for all, so that CIFAR-10 is read once."""
    return new_home(tmp_path_factory.mktemp("experiments") / "home")


@pytest.fixture(scope="module")
def prepared_cifar10(experiments_home: Path, darkroom: Any, real_data: Callable[[str], Path]) -> Any:
    """By the command itself, as only there it is seen what TensorFlow lets out."""
    words = [word for override in OF_CIFAR10 + where(real_data("tfds/cifar10")) for word in ("--set", override)]
    return darkroom("prepare", "cifar10", "--json", *words, home=experiments_home, timeout=400)


@pytest.fixture(scope="module")
def run_reduced(
    experiments_home: Path,
    prepared_cifar10: Any,
    real_data: Callable[[str], Path],
    prefect_url: str,
) -> Callable[[str], Any]:
    """`run_reduced("boxes")`: what the experiment came to, run once.

    The command that prepares CIFAR-10 goes first: when it ends, all processes of its home do, joblib's of ours too.
    """
    assert prepared_cifar10.code == 0, prepared_cifar10.stderr
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    @functools.cache
    def run(name: str) -> Any:
        from flows.pipeline import pipeline

        data, overrides = REDUCED[name]
        given = {"{BACKBONE}": real_data(BACKBONE), "{OUTSIDE}": real_data("pandas_bears_outside")}
        for key, path in given.items():
            overrides = [override.replace(key, str(path)) for override in overrides]
        overrides = overrides + (where(real_data(data)) if data else [])
        with (
            mock.patch.dict(os.environ, DARKROOM_HOME=str(experiments_home)),
            temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
        ):
            store.client.cache_clear()
            result = pipeline(name, [*overrides, "sweep=null"])  # whose trials test_sweep.py runs
            events.EventsWorker.drain_all(timeout=10)
        return result

    return run


def where(data: Path) -> list[str]:
    if data.name == "cifar10":
        return [f"dataset.data_dir={data.parent}", "dataset.download=false"]
    return [f"dataset.path={data}"]


@pytest.fixture
def client(experiments_home: Path) -> Any:
    import mlflow

    with mock.patch.dict(os.environ, DARKROOM_HOME=str(experiments_home)):
        yield mlflow.MlflowClient(Settings().tracking_uri)


# Half a minute and more, with models of the families of others.
LONG = {"animals10", "cifar10", "pandas_bears", "scenes15"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] if name in LONG else []) for name in REDUCED]
)
def test_every_model_of_the_experiment_is_trained_evaluated_and_logged(name, run_reduced, client):
    result = run_reduced(name)
    assert not result.failures
    assert result.models
    for model in result.models:
        accuracy = model.metrics.get("test_accuracy", model.metrics.get("test_mean_iou"))
        assert 0 <= accuracy <= 1
        files = {item.path for item in client.list_artifacts(model.run_id)}
        evaluation = {Path(item.path).name for item in client.list_artifacts(model.run_id, "evaluation")}
        assert {"predictions.parquet", "metrics.json"} <= evaluation
        assert ("layers.png" in files) == (model.family != "linear_svm")


def test_pandas_are_told_from_bears(run_reduced):
    accuracies = {model.name: model.metrics["test_accuracy"] for model in run_reduced("pandas_bears").models}
    assert accuracies["svm"] >= 0.8


def test_the_given_test_split_of_pandas_and_bears_is_kept_whole(run_reduced, client, tmp_path):
    manifest = read_manifest(client, run_reduced("pandas_bears").pipeline_run_id, tmp_path)
    of_test = manifest[manifest["split"] == "test"]
    assert of_test["path"].str.startswith("Test/").all()
    in_test = manifest["path"].str.startswith("Test/") & (manifest["status"] == "ok")
    assert set(manifest.loc[in_test, "split"]) == {"test"}
    assert len(of_test) > 90


def test_animals_have_english_names(run_reduced, client, tmp_path):
    manifest = read_manifest(client, run_reduced("animals10").pipeline_run_id, tmp_path)
    assert {"cat", "spider"} <= set(manifest["class_name"])
    assert "gatto" not in set(manifest["class_name"])


def test_cifar10_is_read_where_it_is_prepared_and_reduced_by_class(prepared_cifar10):
    assert prepared_cifar10.code == 0, prepared_cifar10.stderr
    manifest = pd.read_parquet(prepared_cifar10.answer["manifest"])
    counts = manifest.groupby(["split", "class_name"]).size()
    assert len(manifest) == 12_000
    assert set(counts["train"]) == {8}
    assert set(counts["validation"]) == {4}
    assert counts["test"].sum() > 1_980


def test_tensorflow_s_own_words_do_not_reach_the_user(prepared_cifar10):
    assert prepared_cifar10.stderr == ""


def read_manifest(client: Any, run_id: str, folder: Path) -> pd.DataFrame:
    """The manifest that the run logged."""
    return pd.read_parquet(client.download_artifacts(run_id, "data/manifest.parquet", str(folder)))
