"""Where things live, from environment variables; telemetry of every library off."""

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULTS = {
    # Telemetry. A value that the user has set stays; MLflow takes only the word "true".
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
    # Noise that would break progress bars. Errors reach the user as sentences.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "MPLBACKEND": "agg",
    # Else the first process that uses a GPU takes all of its memory, and trainings beside it find none.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}

ON_PREFECT_SERVER = {
    # One that is away is asked again for four minutes, as MLflow's client does of itself; Prefect's gives up after one,
    # and takes 500, which its server answers while PostgreSQL is away, for an answer. The temporary server answers so
    # when the disk is full, which no waiting mends.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
}


class Settings(BaseSettings):
    """Places of one installation; each has a value when nothing is set."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    darkroom_home: Path = Path(".darkroom")
    mlflow_tracking_uri: str | None = None
    prefect_api_url: str | None = None
    darkroom_temporary_server: str | None = None
    darkroom_feature_cache_gb: Annotated[float, Field(ge=0)] = 20.0
    darkroom_sweep_storage: str | None = None
    darkroom_webhook_url: str | None = None

    @cached_property
    def home(self) -> Path:
        """Absolute path of `DARKROOM_HOME`."""
        return self.darkroom_home.expanduser().absolute()

    @property
    def data(self) -> Path:
        """Data that sources downloaded or unpacked."""
        return self.home / "data"

    @property
    def cache(self) -> Path:
        """What can be made again: listings, manifests, decoded pixels."""
        return self.home / "cache"

    @property
    def features(self) -> Path:
        """What frozen backbones made of images; at most `feature_cache_bytes`."""
        return self.cache / "features"

    @property
    def feature_cache_bytes(self) -> int:
        """Bound of `DARKROOM_FEATURE_CACHE_GB`, in bytes."""
        return int(self.darkroom_feature_cache_gb * 1e9)

    @property
    def sweeps(self) -> Path:
        """What sweeps keep: their studies, logs of their trials, states to go on from."""
        return self.home / "sweeps"

    @property
    def sweep_storage(self) -> str:
        """Database of Optuna's studies: `DARKROOM_SWEEP_STORAGE`, or SQLite in the home."""
        return self.darkroom_sweep_storage or f"sqlite:///{self.sweeps / 'optuna.db'}"

    @property
    def prefect_server(self) -> str | None:
        """The Prefect server that the user named; a command's temporary one, told to Prefect alike, is none."""
        return None if self.prefect_api_url == self.darkroom_temporary_server else self.prefect_api_url

    @property
    def tracking_uri(self) -> str:
        """Where MLflow writes: `MLFLOW_TRACKING_URI`, or SQLite in the home."""
        return self.mlflow_tracking_uri or self._embedded_uri

    @property
    def _embedded_uri(self) -> str:
        return f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def tracks_on_server(self) -> bool:
        """Whether MLflow is reached over HTTP."""
        return self.tracking_uri.startswith(("http://", "https://"))

    @property
    def artifact_location(self) -> str | None:
        """Where a new MLflow experiment of the embedded store keeps its files; a server decides for itself."""
        # Compared, and not asked whether the variable is set: MLflow itself sets it once it is told where to write.
        return (self.home / "artifacts").as_uri() if self.tracking_uri == self._embedded_uri else None


def configure_environment() -> Settings:
    """Set what the libraries read from the environment when they are imported; call before importing any of them."""
    if _is_default_of_mlflow_projects():
        del os.environ["MLFLOW_TRACKING_URI"]
    settings = Settings()
    for name, value in {**DEFAULTS, **(ON_PREFECT_SERVER if settings.prefect_server else {})}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    return settings


def _is_default_of_mlflow_projects() -> bool:
    """Whether `mlflow run` set the tracking URI to its own default, without the user having named one.

    It hands on a URI of the user as it was written, but its default as an absolute path: `mlflow.db` in the folder in
    which `mlflow run`, one of our parent processes, was called.
    """
    if "MLFLOW_RUN_ID" not in os.environ:
        return False
    defaults = set()
    for process in psutil.Process().parents():
        with contextlib.suppress(psutil.Error):
            defaults.add(f"sqlite:///{process.cwd()}/mlflow.db")
    return os.environ.get("MLFLOW_TRACKING_URI") in defaults
