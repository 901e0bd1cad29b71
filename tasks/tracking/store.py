"""The connection to MLflow's store."""

import functools
from typing import Any

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.settings import Settings


def open_store() -> None:
    """Connect to MLflow's store; makes the database of an embedded one that is new."""
    client().search_experiments(max_results=1)


@functools.cache
def client() -> Any:
    """MLflow's client of the store that the settings name; made once."""
    import mlflow

    mlflow.set_tracking_uri(Settings().tracking_uri)
    return mlflow.MlflowClient()


def experiment_id(name: str) -> str:
    """Id of MLflow's experiment of that name, made where there is none."""
    from mlflow.exceptions import MlflowException

    found = client().get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise DarkroomError(f"MLflow's experiment '{name}' was deleted; restore it there, or change the file's `name`")
    if found is not None:
        return str(found.experiment_id)
    try:
        location = Settings().artifact_location
        return str(client().create_experiment(name, artifact_location=location))
    except MlflowException:  # another run made it in the meantime
        return str(client().get_experiment_by_name(name).experiment_id)


def find_run(run_id: str) -> Any:
    """The run of that id.

    Raises:
        ConfigurationError: there is none.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client().get_run(run_id)
    except MlflowException:
        raise ConfigurationError(
            f"no run {run_id} in {Settings().tracking_uri}; `darkroom ui` shows the runs"
        ) from None
