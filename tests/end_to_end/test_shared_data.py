"""The shipped experiments on real pictures, at a size that takes seconds."""

from typing import Any

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def pandas_bears(tmp_path_factory, darkroom, real_data) -> Any:
    pictures = real_data("pandas_bears")
    home = tmp_path_factory.mktemp("pandas_bears") / "home"
    settings = {
        "dataset.path": pictures,
        "dataset.image_size": 32,
        "train.epochs": 2,
        "promotion.thresholds.test_accuracy": 0.6,
    }
    return darkroom("run", "pandas_bears", "--json", *overrides(settings), home=home)


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory, darkroom, real_data) -> Any:
    """Prepared only: two CNNs on its 10,000 test images would take longer than all other tests of this file."""
    prepared = real_data("tfds/cifar10").parent
    home = tmp_path_factory.mktemp("cifar10") / "home"
    settings = {
        "dataset.data_dir": prepared,
        "dataset.download": "false",
        "split.train": 50,
        "split.validation": 10,
    }
    return darkroom("prepare", "cifar10_quick", "--json", *overrides(settings), home=home, timeout=400)


def overrides(settings: dict[str, Any]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def accuracies(finished: Any) -> dict[str, float]:
    return {model["name"]: model["metrics"]["test_accuracy"] for model in finished.answer["models"]}


def test_pandas_are_told_from_bears(pandas_bears):
    assert pandas_bears.code == 0, pandas_bears.stderr
    assert pandas_bears.answer["promotion"]["decision"] == "promoted"
    assert accuracies(pandas_bears)["svm"] >= 0.8


def test_the_given_test_split_of_pandas_and_bears_is_kept_whole(pandas_bears):
    manifest = read_manifest(pandas_bears)
    of_test = manifest[manifest["split"] == "test"]
    assert of_test["path"].str.startswith("Test/").all()
    assert set(manifest.loc[manifest["path"].str.startswith("Test/") & (manifest["status"] == "ok"), "split"]) == {
        "test"
    }
    assert len(of_test) > 90


def test_cifar10_is_read_where_it_is_prepared_and_reduced_by_class(cifar10):
    assert cifar10.code == 0, cifar10.stderr
    manifest = pd.read_parquet(cifar10.answer["manifest"])
    counts = manifest.groupby(["split", "class_name"]).size()
    assert len(manifest) == 60_000
    assert set(counts["train"]) == {50}
    assert set(counts["validation"]) == {10}
    assert counts["test"].sum() > 9_900


def test_tensorflow_s_own_words_do_not_reach_the_user(cifar10):
    assert cifar10.stderr == ""


def read_manifest(finished: Any) -> Any:
    """The manifest that the run logged."""
    import mlflow

    client = mlflow.MlflowClient(finished.answer["tracking_uri"])
    artifacts = client.list_artifacts(finished.answer["pipeline_run_id"], "data")
    (path,) = (artifact.path for artifact in artifacts if artifact.path.endswith(".parquet"))
    return pd.read_parquet(client.download_artifacts(finished.answer["pipeline_run_id"], path))
