"""The last finished pipeline run, against which the present is held: would a run tell anything new?"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks.records import Changed
from tasks.tracking.logs import as_params, log_files
from tasks.tracking.runs import RunTags, code_digest, config_digest, git_commit, run, set_tags
from tasks.tracking.store import client, find_run

CHANGES = "darkroom.changed"
"""Tag of a pipeline run that a schedule began: what had changed."""
_DESCRIPTION = "mlflow.note.content"
_MOST_KEYS = 5
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class FinishedPipeline:
    """A pipeline run that is FINISHED, by what it followed from.

    Attributes:
        params: the resolved configuration, flat, as logged.
    """

    run_id: str
    config_digest: str
    data_digest: str | None
    code_digest: str | None
    commit: str | None
    params: Mapping[str, str]


def find_last_finished(tags: RunTags) -> FinishedPipeline | None:
    """The last finished pipeline run of this configuration; where there is none, the last of the experiment.

    A run by hand with other settings in between is no reason to train again.

    Args:
        tags: of the pipeline that may begin.
    """
    experiment = client().get_experiment_by_name(tags.experiment)
    if experiment is None:
        return None
    finished = "tags.`darkroom.kind` = 'pipeline' AND attributes.status = 'FINISHED'"
    same = f"{finished} AND tags.`darkroom.config_digest` = '{tags.config_digest}'"
    for condition in (same, finished):
        found = client().search_runs(
            [experiment.experiment_id], condition, order_by=["attributes.start_time DESC"], max_results=1
        )
        if found:
            return _read(found[0])
    return None


def _read(found: Any) -> FinishedPipeline:
    tags = found.data.tags
    return FinishedPipeline(
        run_id=found.info.run_id,
        config_digest=tags["darkroom.config_digest"],
        data_digest=tags.get("darkroom.data_digest"),
        code_digest=tags.get("darkroom.code_digest"),
        commit=tags.get("darkroom.git_commit"),
        params=dict(found.data.params),
    )


def tell_configuration(before: FinishedPipeline, experiment: Experiment) -> str | None:
    """How the configuration differs from that of an earlier run, in a sentence; None where it is the same."""
    if before.config_digest == config_digest(experiment):
        return None
    now = as_params(experiment.model_dump(mode="json"))
    keys = [key for key in sorted({*now, *before.params}) if now.get(key) != before.params.get(key)]
    told = [f"{key} {_short(before.params.get(key))} → {_short(now.get(key))}" for key in keys[:_MOST_KEYS]]
    more = [f"and {len(keys) - _MOST_KEYS} more"] if len(keys) > _MOST_KEYS else []
    return f"the configuration changed: {', '.join([*told, *more])}"


def _short(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"


def tell_code(before: FinishedPipeline) -> str | None:
    """That the code is another than that of an earlier run, in a sentence; None where it is the same."""
    if before.code_digest == code_digest():
        return None
    commits = [commit[:12] for commit in (before.commit, git_commit()) if commit]
    between = f", from commit {commits[0]} to {commits[1]}" if len(set(commits)) == 2 else ""
    return f"the code of Darkroom changed{between}"


def log_changes(run_id: str, changed: Changed) -> None:
    """Why a pipeline is run: its description, a tag, and the report in `changes/`."""
    set_tags(run_id, {CHANGES: str(changed)[:5_000], _DESCRIPTION: f"Run because {changed}"})
    if changed.folder:
        log_files(run_id, changed.folder, "changes")


def record_check(tags: RunTags, sentence: str) -> str:
    """A run of kind `check` that says that there was nothing to do, and why; returns its id."""
    with run("check", "nothing to do", tags) as run_id:
        set_tags(run_id, {_DESCRIPTION: sentence})
    return run_id


def record_failure(tags: RunTags, because: str) -> str:
    """A run of kind `check` that is FAILED, for what failed before a pipeline's run was made; returns its id."""
    with suppress(DarkroomError), run("check", f"scheduled {tags.experiment}", tags) as run_id:
        raise DarkroomError(because)
    return run_id


def find_pipeline_run(flow_run_ids: Iterable[str], experiment: str) -> str | None:
    """The pipeline run of one of these flow runs, or None."""
    found = client().get_experiment_by_name(experiment)
    for flow_run_id in flow_run_ids if found else ():
        asked = f"tags.`darkroom.kind` = 'pipeline' AND tags.`prefect.flow_run_id` = '{flow_run_id}'"
        runs = client().search_runs([found.experiment_id], asked, max_results=1)
        if runs:
            return str(runs[0].info.run_id)
    return None


def page_of(run_id: str) -> str:
    """Address of a run in MLflow's UI: the server's, or that of `darkroom ui`."""
    settings = Settings()
    place = settings.tracking_uri.rstrip("/") if settings.tracks_on_server else "http://127.0.0.1:5000"
    return f"{place}/#/experiments/{find_run(run_id).info.experiment_id}/runs/{run_id}"
