"""A model that an earlier pipeline trained, found by its run's id alone, and what it was trained from."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.experiment import Experiment
from pipeline_config.sentences import describe_problems
from tasks.records import TrainedModel
from tasks.tracking.runs import FAILURE, RunTags
from tasks.tracking.store import client, find_run

_NEEDED_METRIC = "fit_seconds"  # logged last, once the model is


def find_train_run(run_id: str) -> Any:
    """MLflow's run of that id, which is a train run.

    Raises:
        ConfigurationError: there is no such run, it was deleted, or it is of another kind.
    """
    found = find_run(run_id)
    if found.info.lifecycle_stage == "deleted":
        raise ConfigurationError(f"run {run_id} was deleted; restore it with `mlflow runs restore --run-id {run_id}`")
    if found.data.tags.get("darkroom.kind") != "train":
        raise ConfigurationError(f"run {run_id}: expected a train run; received {_kind(found)}{_hint(found)}")
    return found


def _kind(found: Any) -> str:
    return f"a {found.data.tags.get('darkroom.kind', 'foreign')} run that is {found.info.status}"


def _hint(found: Any) -> str:
    """The train runs below a pipeline's run, which is what people have at hand."""
    of_pipeline = f"tags.`mlflow.parentRunId` = '{found.info.run_id}' AND tags.`darkroom.kind` = 'train'"
    below = client().search_runs([found.info.experiment_id], of_pipeline, order_by=["attributes.start_time"])
    named = ", ".join(f"{run.info.run_name} {run.info.run_id}" for run in below)
    return f"; give one of those below it: {named}" if named else "; `darkroom ui` shows the runs"


def find_trained(run_id: str) -> tuple[TrainedModel, RunTags]:
    """The model of a train run whose training ended well; its evaluation may have failed, or been made already.

    Raises:
        ConfigurationError: there is no such run, or it is of another kind.
        DarkroomError: the run holds no model, or the model's files are gone.
    """
    found = find_train_run(run_id)
    tags, models = found.data.tags, found.outputs.model_outputs if found.outputs else []
    if not models or _NEEDED_METRIC not in found.data.metrics or found.info.status == "RUNNING":
        why = f" ({tags[FAILURE]})" if FAILURE in tags else ""
        raise DarkroomError(
            f"run {run_id}: expected a train run that holds a trained model; received {_kind(found)}{why}; "
            "train the model again with `darkroom run`"
        )
    model_id = models[0].model_id
    _check_files(run_id, model_id)
    model = TrainedModel(
        name=found.info.run_name,
        family=found.data.params["family"],
        run_id=run_id,
        model_id=model_id,
        model_uri=f"models:/{model_id}",
        metrics=dict(found.data.metrics),
    )
    return model, _tags(tags)


def _check_files(run_id: str, model_id: str) -> None:
    """MLflow itself would register a model that has none."""
    from mlflow.exceptions import MlflowException

    try:
        there = client().list_logged_model_artifacts(model_id)
    except MlflowException:
        there = []
    if not there:
        raise DarkroomError(
            f"run {run_id}: expected the files of its model {model_id}; MLflow has none; restore them, or train the "
            "model again with `darkroom run`"
        )


def _tags(tags: dict[str, str]) -> RunTags:
    return RunTags(
        experiment=tags["darkroom.experiment"],
        config_digest=tags["darkroom.config_digest"],
        flow_run_id=tags.get("prefect.flow_run_id"),
        data_digest=tags["darkroom.data_digest"],
        test_digest=tags["darkroom.test_digest"],
    )


def find_configuration(run_id: str) -> tuple[str, Experiment]:
    """Id of the pipeline run above a train run, and the configuration that it logged.

    Raises:
        ConfigurationError: there is no such train run, or its configuration is none that this version knows.
        DarkroomError: the configuration is gone.
    """
    pipeline_run_id = find_train_run(run_id).data.tags.get("mlflow.parentRunId")
    if pipeline_run_id is None:
        raise DarkroomError(f"run {run_id}: expected a pipeline run above it, with its configuration; it has none")
    with TemporaryDirectory() as folder:
        data = yaml.safe_load(fetch_file(pipeline_run_id, "config.yaml", Path(folder)).read_text(encoding="utf-8"))
    try:
        return pipeline_run_id, Experiment.model_validate(data)
    except ValidationError as error:
        where = f"config.yaml of run {pipeline_run_id}"
        raise ConfigurationError(describe_problems(error, Experiment, file=where, data=data)) from None


def fetch_manifest(pipeline_run_id: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The manifest that a pipeline logged, fetched into a folder, and the class names in label order.

    Raises:
        DarkroomError: one of them is gone.
    """
    about = json.loads(fetch_file(pipeline_run_id, "data/about.json", folder).read_text(encoding="utf-8"))
    return fetch_file(pipeline_run_id, "data/manifest.parquet", folder), tuple(about["class_names"])


def fetch_file(run_id: str, artifact: str, folder: Path) -> Path:
    """An artifact of a run, fetched into a folder.

    Raises:
        DarkroomError: the run has none, or its file is gone.
    """
    from mlflow.exceptions import MlflowException

    try:
        return Path(client().download_artifacts(run_id, artifact, str(folder)))
    except (MlflowException, OSError) as error:
        raise DarkroomError(
            f"run {run_id}: expected its file {artifact}; it cannot be read: {error}; restore the run's artifacts"
        ) from None


def forget_failure(run_id: str) -> None:
    """A run whose evaluation had failed is FINISHED once it is evaluated; when it ended stays as it was."""
    found = find_run(run_id)
    if found.info.status == "FINISHED":
        return
    if FAILURE in found.data.tags:
        client().delete_tag(run_id, FAILURE)
    client().set_terminated(run_id, "FINISHED", found.info.end_time)
