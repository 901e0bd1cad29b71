"""Configuration, metrics, files and data of a run."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from pipeline_config.experiment import Experiment
from tasks.records import Listing, Manifest
from tasks.tracking.store import client

_MAX_PARAM_LENGTH = 6_000  # MLflow's own bound on a param's value


def log_configuration(run_id: str, experiment: Experiment) -> None:
    """The whole resolved configuration, once: `config.yaml` and flat params."""
    resolved = experiment.model_dump(mode="json")
    client().log_text(run_id, yaml.safe_dump(resolved, sort_keys=False), "config.yaml")
    log_params(run_id, resolved)


def log_params(run_id: str, values: Mapping[str, Any]) -> None:
    """Nested values as flat `dotted.key` params."""
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in as_params(values).items()]
    client().log_batch(run_id, params=params)


def as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested values as the params that `log_params` logs."""
    return {key: str(value)[:_MAX_PARAM_LENGTH] for key, value in _flat(values)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by dotted key; items of a list that have names stand below these."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
            for item in value:
                yield from _flat({item["name"]: {k: v for k, v in item.items() if k != "name"}}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def log_metrics(run_id: str, metrics: Mapping[str, float], model_id: str | None = None) -> None:
    """Single values; linked to the logged model where it is named."""
    _log_points(run_id, [(name, value, 0) for name, value in metrics.items()], model_id)


def log_history(run_id: str, history: Mapping[str, list[float]], first_epoch: int = 1) -> None:
    """Curves: one value an epoch; epochs count from 1."""
    points = [(name, value, step) for name, values in history.items() for step, value in enumerate(values, first_epoch)]
    _log_points(run_id, points, None)


def _log_points(run_id: str, points: list[tuple[str, float, int]], model_id: str | None) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(value), now, step, model_id=model_id, run_id=run_id) for name, value, step in points]
    for start in range(0, len(metrics), 1_000):  # MLflow's bound on a batch
        client().log_batch(run_id, metrics=metrics[start : start + 1_000])


def log_files(run_id: str, folder: Path, artifact_path: str | None = None) -> None:
    """Everything in a folder as artifacts."""
    client().log_artifacts(run_id, str(folder), artifact_path)


def log_data(run_id: str, listing: Listing, manifest: Manifest) -> None:
    """The manifest as an artifact, and licence and citation where the source knows them."""
    with TemporaryDirectory() as folder:
        named = shutil.copy(manifest.path, Path(folder) / "manifest.parquet")
        client().log_artifact(run_id, str(named), "data")
    about = {"licence": listing.licence, "citation": listing.citation, "class_names": list(manifest.class_names)}
    client().log_text(run_id, json.dumps(about, indent=2), "data/about.json")


def log_dataset_input(run_id: str, manifest: Manifest, table: pd.DataFrame, context: str) -> None:
    """The rows a run used, as an MLflow dataset whose digest is the data set's."""
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import DatasetInput, InputTag

    dataset = from_pandas(table, source=str(manifest.path), name=context, digest=manifest.digest[:16])
    inputs = [DatasetInput(dataset._to_mlflow_entity(), tags=[InputTag("mlflow.data.context", context)])]
    client().log_inputs(run_id, inputs)
