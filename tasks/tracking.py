"""The only module that writes to MLflow.

Every write names its run: MLflow's active run belongs to a thread and gets lost in task runners. Nothing is logged
automatically. See section 3 of the README for the layout of runs, names and tags.
"""

import functools
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks.disk import give_up_reserve
from tasks.records import Decision, EvaluatedModel, Listing, Manifest

MODEL_NAME = "model"
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training runs, not on GenAI
_MAX_PARAM_LENGTH = 6_000  # MLflow's own bound on a param's value
_REQUIREMENTS = {"keras": ("tensorflow", "keras", "numpy"), "sklearn": ("scikit-learn", "skops", "numpy")}
# Types of a saved SVM pipeline that skops does not know; loading any other unknown type is refused.
_TRUSTED_TYPES = [
    "numpy.reshape",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._TemperatureScaling",
]


def open_store() -> None:
    """Connect to MLflow's store; makes the database of an embedded one that is new."""
    _client().search_experiments(max_results=1)


@functools.cache
def _client() -> Any:
    import mlflow

    mlflow.set_tracking_uri(Settings().tracking_uri)
    return mlflow.MlflowClient()


@dataclass(frozen=True)
class RunTags:
    """What every run of one pipeline carries, as `darkroom.…` tags."""

    experiment: str
    config_digest: str
    flow_run_id: str | None
    data_digest: str | None = None
    test_digest: str | None = None

    def as_tags(self, kind: str) -> dict[str, str]:
        """Tags of a run of that kind; unknown values are left out."""
        tags = {
            "darkroom.kind": kind,
            "darkroom.experiment": self.experiment,
            "darkroom.config_digest": self.config_digest,
            "darkroom.data_digest": self.data_digest,
            "darkroom.test_digest": self.test_digest,
            "darkroom.git_commit": git_commit(),
            "prefect.flow_run_id": self.flow_run_id,
            "mlflow.source.name": "darkroom",
        }
        return {name: value for name, value in tags.items() if value}


def config_digest(experiment: Experiment) -> str:
    """64 hex digits over the resolved configuration."""
    return hashlib.sha256(experiment.model_dump_json().encode()).hexdigest()


@functools.cache
def git_commit() -> str | None:
    """Commit of the code that runs, with `-dirty` where it was changed; None outside a checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


@contextmanager
def run(kind: str, name: str, tags: RunTags, parent_run_id: str | None = None) -> Iterator[str]:
    """A run that is never left RUNNING: FINISHED, FAILED with the reason as a tag, or KILLED.

    Args:
        kind: pipeline, train or promotion.
        name: as MLflow shows it.
        tags: of the pipeline.
        parent_run_id: the run that this one is shown below.

    Yields:
        The run's id.
    """
    client = _client()
    parent = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
    created = client.create_run(_experiment_id(tags.experiment), tags={**tags.as_tags(kind), **parent}, run_name=name)
    run_id: str = created.info.run_id
    try:
        yield run_id
    except Exception as error:
        _end(run_id, "FAILED", str(error) or type(error).__name__)
        raise
    except BaseException:
        _end(run_id, "KILLED", "interrupted")
        raise
    _end(run_id, "FINISHED")


@contextmanager
def continued(run_id: str) -> Iterator[None]:
    """More is written to a run that has ended; it ends FAILED when that fails."""
    try:
        yield
    except Exception as error:
        _end(run_id, "FAILED", str(error) or type(error).__name__)
        raise
    except BaseException:
        _end(run_id, "KILLED", "interrupted")
        raise


def _end(run_id: str, status: str, reason: str | None = None) -> None:
    if status != "FINISHED":
        give_up_reserve(Settings().home)  # the disk may be full, and this must still be written
    if reason:
        _client().set_tag(run_id, "darkroom.failure", reason[:5_000])
    _client().set_terminated(run_id, status)


def _experiment_id(name: str) -> str:
    """Id of MLflow's experiment of that name, made where there is none."""
    from mlflow.exceptions import MlflowException

    found = _client().get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise DarkroomError(f"MLflow's experiment '{name}' was deleted; restore it there, or change the file's `name`")
    if found is not None:
        return str(found.experiment_id)
    try:
        location = Settings().artifact_location
        return str(_client().create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))
    except MlflowException:  # another run made it in the meantime
        return str(_client().get_experiment_by_name(name).experiment_id)


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    for name, value in tags.items():
        _client().set_tag(run_id, name, value)


def log_configuration(run_id: str, experiment: Experiment) -> None:
    """The whole resolved configuration, once: `config.yaml` and flat params."""
    resolved = experiment.model_dump(mode="json")
    _client().log_text(run_id, yaml.safe_dump(resolved, sort_keys=False), "config.yaml")
    log_params(run_id, resolved)


def log_params(run_id: str, values: Mapping[str, Any]) -> None:
    """Nested values as flat `dotted.key` params."""
    from mlflow.entities import Param

    params = [Param(key, str(value)[:_MAX_PARAM_LENGTH]) for key, value in _flat(values)]
    _client().log_batch(run_id, params=params)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
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


def log_history(run_id: str, history: Mapping[str, list[float]]) -> None:
    """Curves: one value an epoch, steps from 1."""
    points = [(name, value, step) for name, values in history.items() for step, value in enumerate(values, 1)]
    _log_points(run_id, points, None)


def _log_points(run_id: str, points: list[tuple[str, float, int]], model_id: str | None) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(value), now, step, model_id=model_id, run_id=run_id) for name, value, step in points]
    for start in range(0, len(metrics), 1_000):  # MLflow's bound on a batch
        _client().log_batch(run_id, metrics=metrics[start : start + 1_000])


def log_files(run_id: str, folder: Path, artifact_path: str | None = None) -> None:
    """Everything in a folder as artifacts."""
    _client().log_artifacts(run_id, str(folder), artifact_path)


def log_data(run_id: str, listing: Listing, manifest: Manifest) -> None:
    """The manifest as an artifact, and licence and citation where the source knows them."""
    with TemporaryDirectory() as folder:
        named = shutil.copy(manifest.path, Path(folder) / "manifest.parquet")
        _client().log_artifact(run_id, str(named), "data")
    about = {"licence": listing.licence, "citation": listing.citation, "class_names": list(manifest.class_names)}
    _client().log_text(run_id, json.dumps(about, indent=2), "data/about.json")


def log_dataset_input(run_id: str, manifest: Manifest, table: pd.DataFrame, context: str) -> None:
    """The rows a run used, as an MLflow dataset whose digest is the data set's."""
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import DatasetInput, InputTag

    dataset = from_pandas(table, source=str(manifest.path), name=context, digest=manifest.digest[:16])
    inputs = [DatasetInput(dataset._to_mlflow_entity(), tags=[InputTag("mlflow.data.context", context)])]
    _client().log_inputs(run_id, inputs)


def log_model(run_id: str, model: Any, example: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.floating]) -> str:
    """The model with signature, input example and explicit requirements; never pickled.

    Args:
        run_id: of the train run.
        model: Keras model or scikit-learn pipeline.
        example: `(n, height, width, 3)` raw pixels.
        probabilities: `(n, classes)`, what the model answers to the example.

    Returns:
        The logged model's id.
    """
    from mlflow.models import Model

    flavor = "sklearn" if hasattr(model, "predict_proba") else "keras"
    requirements = [f"{package}=={version(package)}" for package in _REQUIREMENTS[flavor]]
    # Made beforehand, since Model.log would put it into the experiment that happens to be active in this thread.
    experiment_id = _client().get_run(run_id).info.experiment_id
    created = _client().create_logged_model(experiment_id, name=MODEL_NAME, source_run_id=run_id, model_type=flavor)
    Model.log(
        artifact_path=None,
        model_id=created.model_id,
        run_id=run_id,
        signature=_signature(flavor, example, probabilities),
        pip_requirements=requirements,
        input_example=example,
        **_flavor_arguments(flavor, model),
    )
    return str(created.model_id)


def _signature(flavor: str, example: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.floating]) -> Any:
    """Pixels of any size for a Keras model, which resizes; of one size for a pipeline."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    height, width = (-1, -1) if flavor == "keras" else example.shape[1:3]
    inputs = TensorSpec(np.dtype(np.uint8), (-1, height, width, 3))
    return ModelSignature(Schema([inputs]), Schema([TensorSpec(probabilities.dtype, (-1, probabilities.shape[1]))]))


class _KerasFlavor:
    """MLflow's keras flavour writes the input example into a folder that it has not made yet (3.17.2)."""

    __name__ = "mlflow.keras"

    @staticmethod
    def save_model(path: str, **arguments: Any) -> None:
        import mlflow

        Path(path).mkdir()
        mlflow.keras.save_model(path=path, **arguments)


def _flavor_arguments(flavor: str, model: Any) -> dict[str, Any]:
    import mlflow

    if flavor == "keras":
        import keras

        keras.config.disable_interactive_logging()  # MLflow tries the input example, and Keras would print a bar
        return {"flavor": _KerasFlavor, "model": model}
    return {
        "flavor": mlflow.sklearn,
        "sk_model": model,
        "serialization_format": "skops",
        "skops_trusted_types": _TRUSTED_TYPES,
        "pyfunc_predict_fn": "predict_proba",
    }


def fetch_model(model_uri: str) -> Path:
    """Folder with a logged model's files."""
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(model_uri))


def load_model(folder: Path) -> Any:
    """The model in a folder of `fetch_model`, loaded without running code that it might carry.

    Raises:
        DarkroomError: the model holds something that is not safe to load.
    """
    saved = next(folder.rglob("*.skops"), None)
    if saved is None:
        import mlflow

        return mlflow.keras.load_model(str(folder))  # Keras's safe mode is on unless switched off
    import skops.io

    unknown = set(skops.io.get_untrusted_types(file=saved)) - set(_TRUSTED_TYPES)
    if unknown:
        raise DarkroomError(f"{saved}: holds types that are not trusted: {', '.join(sorted(unknown))}; train it again")
    return skops.io.load(saved, trusted=_TRUSTED_TYPES)


@dataclass(frozen=True)
class Champion:
    """The registered version that has an alias."""

    version: int
    run_id: str
    model_uri: str
    test_digest: str | None
    data_digest: str | None
    config_digest: str | None


def champion(name: str) -> Champion | None:
    """The champion of an experiment, or None."""
    from mlflow.exceptions import MlflowException

    try:
        found = _client().get_model_version_by_alias(name, "champion")
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise
    tags = found.tags
    return Champion(
        int(found.version),
        found.run_id,
        f"models:/{name}/{found.version}",
        tags.get("darkroom.test_digest"),
        tags.get("darkroom.data_digest"),
        tags.get("darkroom.config_digest"),
    )


def download_predictions(run_id: str, folder: Path) -> Path:
    """Fetch a train run's predictions table into a folder.

    Raises:
        DarkroomError: the run has none, or its file is gone.
    """
    from mlflow.exceptions import MlflowException

    try:
        return Path(_client().download_artifacts(run_id, "evaluation/predictions.parquet", str(folder)))
    except (MlflowException, OSError) as error:
        raise DarkroomError(f"run {run_id}: its predictions table cannot be read: {error}") from None


def find_evaluated(run_id: str, folder: Path) -> tuple[EvaluatedModel, RunTags]:
    """A model that an earlier pipeline trained and evaluated; its predictions table is fetched into a folder.

    Raises:
        DarkroomError: no such run, or not a train run that was evaluated.
    """
    found = _find_run(run_id)
    tags, models = found.data.tags, found.outputs.model_outputs if found.outputs else []
    if tags.get("darkroom.kind") != "train" or "test_accuracy" not in found.data.metrics or not models:
        raise DarkroomError(f"run {run_id}: expected a train run that was evaluated; received {_kind(found)}")
    model_id = models[0].model_id
    model = EvaluatedModel(
        name=found.info.run_name,
        family=found.data.params["family"],
        run_id=run_id,
        model_id=model_id,
        model_uri=f"models:/{model_id}",
        predictions=download_predictions(run_id, folder),
        test_digest=tags["darkroom.test_digest"],
        metrics=dict(found.data.metrics),
    )
    described = RunTags(
        experiment=tags["darkroom.experiment"],
        config_digest=tags["darkroom.config_digest"],
        flow_run_id=tags.get("prefect.flow_run_id"),
        data_digest=tags["darkroom.data_digest"],
        test_digest=tags["darkroom.test_digest"],
    )
    return model, described


def find_configuration(run_id: str) -> tuple[str, Experiment]:
    """Id of the pipeline run above a train run, and the configuration that it logged."""
    pipeline_run_id = _find_run(run_id).data.tags["mlflow.parentRunId"]
    with TemporaryDirectory() as folder:
        text = Path(_client().download_artifacts(pipeline_run_id, "config.yaml", folder)).read_text()
    return pipeline_run_id, Experiment.model_validate(yaml.safe_load(text))


def _find_run(run_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return _client().get_run(run_id)
    except MlflowException:
        raise ConfigurationError(
            f"no run {run_id} in {Settings().tracking_uri}; `darkroom ui` shows the runs"
        ) from None


def _kind(found: Any) -> str:
    return f"a {found.data.tags.get('darkroom.kind', 'foreign')} run that is {found.info.status}"


def register(name: str, model: EvaluatedModel, tags: RunTags) -> int:
    """Register an evaluated model as a new version with its digests and metrics as tags; returns the version."""
    from mlflow.exceptions import MlflowException

    try:
        _client().create_registered_model(name, description=f"Classifier of the experiment {name}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    metrics = {f"metric.{key}": f"{value:.6g}" for key, value in model.metrics.items()}
    about = {"darkroom.family": model.family, "darkroom.model": model.name, **metrics}
    created = _client().create_model_version(
        name, model.model_uri, run_id=model.run_id, model_id=model.model_id, tags={**tags.as_tags("version"), **about}
    )
    return int(created.version)


def set_alias(name: str, alias: str, number: int) -> None:
    """Point an alias at a version."""
    _client().set_registered_model_alias(name, alias, str(number))


def crown(name: str, number: int, dethroned: Champion | None) -> None:
    """Make a version the champion; the one before it, if any, becomes `previous`."""
    if dethroned:
        set_alias(name, "previous", dethroned.version)
    set_alias(name, "champion", number)
    _client().delete_registered_model_alias(name, "challenger")


def record_decision(name: str, run_id: str, decision: Decision) -> None:
    """The decision and each gate's verdict: on the pipeline's run, and on the version where there is one."""
    gates = [{"name": gate.name, "passed": gate.passed, "detail": gate.detail} for gate in decision.gates]
    content = {"decision": decision.decision, "version": decision.version, "detail": decision.detail, "gates": gates}
    _client().log_text(run_id, json.dumps(content, indent=2, ensure_ascii=False), "promotion.json")
    set_tags(run_id, {"darkroom.decision": decision.decision, "darkroom.decision_detail": decision.detail[:5_000]})
    if decision.version is None:
        return
    for gate in decision.gates:
        verdict = f"{'passed' if gate.passed else 'failed'}: {gate.detail}"
        _client().set_model_version_tag(name, str(decision.version), f"gate.{gate.name}", verdict[:5_000])
    _client().set_model_version_tag(name, str(decision.version), "darkroom.decision", decision.decision)
