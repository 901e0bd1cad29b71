"""The model registry: versions, aliases, and what was decided about them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.sentences import did_you_mean
from pipeline_config.settings import Settings
from tasks.records import Decision, EvaluatedModel
from tasks.tracking.runs import RunTags, set_tags
from tasks.tracking.store import client
from tasks.tracking.trained import find_trained

DECISION_FILE = "promotion.json"


@dataclass(frozen=True)
class Champion:
    """The registered version that has an alias."""

    version: int
    run_id: str
    model_uri: str
    test_digest: str | None
    data_digest: str | None
    config_digest: str | None


def champion(name: str, alias: str = "champion") -> Champion | None:
    """The version of an experiment that has an alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        found = client().get_model_version_by_alias(name, alias)
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


def find_evaluated(run_id: str, folder: Path) -> tuple[EvaluatedModel, RunTags]:
    """A model that was trained and evaluated earlier; its predictions table is fetched into a folder.

    Raises:
        ConfigurationError: no such run, or it is of another kind.
        DarkroomError: the run holds no model, or it was not evaluated.
    """
    trained, tags = find_trained(run_id)
    if not any(name.startswith("test_") for name in trained.metrics):
        raise DarkroomError(
            f"run {run_id}: expected a train run that was evaluated; evaluate it with `darkroom evaluate {run_id}`"
        )
    model = EvaluatedModel(
        name=trained.name,
        family=trained.family,
        run_id=run_id,
        model_id=trained.model_id,
        model_uri=trained.model_uri,
        predictions=download_predictions(run_id, folder),
        test_digest=str(tags.test_digest),
        metrics=trained.metrics,
    )
    return model, tags


def download_predictions(run_id: str, folder: Path) -> Path:
    """Fetch a train run's predictions table into a folder.

    Raises:
        DarkroomError: the run has none, or its file is gone.
    """
    from mlflow.exceptions import MlflowException

    try:
        return Path(client().download_artifacts(run_id, "evaluation/predictions.parquet", str(folder)))
    except (MlflowException, OSError) as error:
        raise DarkroomError(f"run {run_id}: its predictions table cannot be read: {error}") from None


def register(name: str, model: EvaluatedModel, tags: RunTags, promotion_run_id: str) -> int:
    """Register an evaluated model as a new version with its digests and metrics as tags; returns the version."""
    from mlflow.exceptions import MlflowException

    try:
        client().create_registered_model(name, description=f"Classifier of the experiment {name}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    metrics = {f"metric.{key}": f"{value:.6g}" for key, value in model.metrics.items()}
    about = {
        "darkroom.family": model.family,
        "darkroom.model": model.name,
        "darkroom.promotion_run": promotion_run_id,
        **metrics,
    }
    created = client().create_model_version(
        name, model.model_uri, run_id=model.run_id, model_id=model.model_id, tags={**tags.as_tags("version"), **about}
    )
    return int(created.version)


def aliases(name: str) -> dict[str, int]:
    """Alias -> version of a registered model; empty where there is none of that name."""
    from mlflow.exceptions import MlflowException

    try:
        found = client().get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: int(version) for alias, version in sorted(found.items())}


def registered_names() -> list[str]:
    """Experiments that have a registered model; those of other programs in the same store are left out."""
    versions, token = set(), None
    while True:
        page = client().search_model_versions("tags.`darkroom.kind` = 'version'", page_token=token)
        versions |= {version.name for version in page}
        token = page.token
        if not token:
            return sorted(versions)


def check_registered(name: str) -> None:
    """Whether an experiment has a registered model.

    Raises:
        ConfigurationError: it has none.
    """
    names = registered_names()
    if name not in names:
        known = ", ".join(names) or "none yet"
        raise ConfigurationError(
            f"no registered model '{name}' in {Settings().tracking_uri}; experiments that have one: {known}"
            f"{did_you_mean(name, names)}"
        )


def move_aliases(name: str, changes: Mapping[str, int | None]) -> None:
    """Point aliases at versions, one after the other; None takes an alias away. What is so already stays."""
    found = aliases(name)
    for alias, version in changes.items():
        if found.get(alias) == version:
            continue
        if version is None:
            client().delete_registered_model_alias(name, alias)
        else:
            client().set_registered_model_alias(name, alias, str(version))


def record_decision(name: str, run_id: str | None, decision: Decision) -> None:
    """The decision and each gate's verdict: on the pipeline's run, if any, and on the version where there is one."""
    if run_id:
        client().log_text(run_id, as_json(decision), DECISION_FILE)
        set_tags(run_id, decision_tags(decision))
    if decision.version is None:
        return
    for gate in decision.gates:
        verdict = f"{'passed' if gate.passed else 'failed'}: {gate.detail}"
        client().set_model_version_tag(name, str(decision.version), f"gate.{gate.name}", verdict[:5_000])
    client().set_model_version_tag(name, str(decision.version), "darkroom.decision", decision.decision)


def decision_tags(decision: Decision) -> dict[str, str]:
    """Word and sentence, as tags of a run."""
    return {"darkroom.decision": decision.decision, "darkroom.decision_detail": decision.detail[:5_000]}


def as_json(decision: Decision) -> str:
    """What `DECISION_FILE` holds."""
    return json.dumps(asdict(decision), indent=2, ensure_ascii=False)
