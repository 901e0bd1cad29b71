"""What is known of a model beside its files: whose it is, how it was measured, and its card."""

import re
from dataclasses import dataclass, field
from typing import Any

from pipeline_config.errors import ConfigurationError
from tasks.tracking.store import client, find_run

_VERSION = re.compile(r"models:/([^/]+)/(\d+)")
_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})")
_METRIC = "metric."


@dataclass(frozen=True)
class AboutModel:
    """Of one model; of files that stand in no store nothing is known.

    Attributes:
        experiment: in which it was trained, or None.
        version: in the registry, or None.
        run_id: of the train run, or None.
        name: of the model in its experiment, or None.
        metrics: the last value of each.
        card: Markdown; empty where there is none.
    """

    experiment: str | None = None
    version: int | None = None
    run_id: str | None = None
    name: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    card: str = ""


def find_about(uri: str) -> AboutModel:
    """What MLflow knows of the model of a URI that `find_model` gave."""
    if found := _VERSION.fullmatch(uri):
        return _of_version(client().get_model_version(*found.groups()))
    if found := _LOGGED.fullmatch(uri):
        return _of_run(client().get_logged_model(found[1]).source_run_id)
    return AboutModel()


def _of_version(version: Any) -> AboutModel:
    """Its tags, and its run for what they lack: a version may have been registered by hand."""
    tags = version.tags
    run = _of_run(version.run_id)
    measured = {key.removeprefix(_METRIC): float(value) for key, value in tags.items() if key.startswith(_METRIC)}
    return AboutModel(
        experiment=version.name,
        version=int(version.version),
        run_id=run.run_id,
        name=tags.get("darkroom.model", run.name),
        metrics={**run.metrics, **measured},
        card=version.description or "",
    )


def _of_run(run_id: str | None) -> AboutModel:
    """Nothing of a run that is gone: the model's files may be there all the same."""
    if not run_id:
        return AboutModel()
    try:
        run = find_run(run_id)
    except ConfigurationError:
        return AboutModel()
    experiment = run.data.tags.get("darkroom.experiment")
    return AboutModel(experiment, None, run_id, run.info.run_name, dict(run.data.metrics))
