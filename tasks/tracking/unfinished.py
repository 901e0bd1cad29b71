"""Runs whose process was killed: closed, and what they had finished found again, so that nothing is done twice."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks.records import TrainedModel
from tasks.tracking.owners import OWNER, has_ended
from tasks.tracking.runs import FAILURE, RunTags, code_digest, run, set_tags
from tasks.tracking.store import client, find_run
from tasks.tracking.trained import find_trained, forget_failure

_KILLED = "its process ended without a word, as by kill -9 or a power cut"
_EVALUATED = "darkroom.evaluated_on"
MODEL = "darkroom.model_digest"
"""Tag of a train run: `model_digest` of what it trains."""


@dataclass(frozen=True)
class LeftOpen:
    """A run that MLflow has as RUNNING, whose process is gone."""

    run_id: str
    name: str
    experiment: str
    flow_run_id: str | None


def find_left_open() -> list[LeftOpen]:
    """Runs that are RUNNING, of processes of this machine that are gone; those of others are left alone."""
    return [
        LeftOpen(
            found.info.run_id,
            found.info.run_name,
            found.data.tags.get("darkroom.experiment", ""),
            found.data.tags.get("prefect.flow_run_id"),
        )
        for found in _search("attributes.status = 'RUNNING'")
        if OWNER in found.data.tags and has_ended(found.data.tags[OWNER])
    ]


def close_all_left_open() -> None:
    """Runs that `find_left_open` finds are KILLED."""
    for left in find_left_open():
        close_left_open(left)


def close_left_open(left: LeftOpen) -> None:
    """Such a run is KILLED, and says why."""
    client().set_tag(left.run_id, FAILURE, _KILLED)
    client().set_terminated(left.run_id, "KILLED")


@contextmanager
def pipeline_held(tags: RunTags) -> Iterator[bool]:
    """Whether this process is the only one, in this home, that is at the pipeline of this configuration."""
    from filelock import FileLock, Timeout

    folder = Settings().home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"pipeline-{tags.config_digest[:32]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def model_digest(model: Model, compute: Compute) -> str:
    """32 hex digits over a model's section and what is set of its computation by hand."""
    return hashlib.sha256(f"{model.model_dump_json()} {compute.model_dump_json()}".encode()).hexdigest()[:32]


def train_run(model: Model, compute: Compute, tags: RunTags, parent_run_id: str) -> AbstractContextManager[str]:
    """The run of one model's training, by which it is found again."""
    return run("train", model.name, tags, parent_run_id, {MODEL: model_digest(model, compute)})


def find_interrupted(tags: RunTags, kind: str) -> str | None:
    """The run to be gone on with: the latest of this kind, configuration and code, unless one FINISHED since.

    One below which nothing was begun is passed over. The caller is alone at this configuration.

    Args:
        tags: of the run that begins.
        kind: pipeline, or training.
    """
    same = {"kind": kind, "experiment": tags.experiment, "config_digest": tags.config_digest}
    asked = " AND ".join(f"tags.`darkroom.{key}` = '{value}'" for key, value in same.items())
    for found in _search(asked, tags.experiment):
        if found.info.status == "FINISHED" or found.data.tags.get("darkroom.code_digest") != code_digest():
            return None
        if found.info.status != "RUNNING" and _has_begun(found.info.run_id, tags.experiment):
            return str(found.info.run_id)
    return None


def _has_begun(run_id: str, experiment: str) -> bool:
    """Whether there is a run below a pipeline's."""
    return next(_search(f"tags.`mlflow.parentRunId` = '{run_id}'", experiment), None) is not None


def find_finished_model(pipeline_run_id: str, digest: str, tags: RunTags) -> TrainedModel | None:
    """A model of an interrupted pipeline whose training had ended, and whose files are there; its run is FINISHED then.

    Args:
        pipeline_run_id: the run that is gone on with.
        digest: `model_digest` of the model.
        tags: of the pipeline, with the digest of the data.
    """
    asked = (
        f"tags.`mlflow.parentRunId` = '{pipeline_run_id}' AND tags.`{MODEL}` = '{digest}' "
        f"AND tags.`darkroom.data_digest` = '{tags.data_digest}'"
    )
    for found in _search(asked, tags.experiment):
        try:
            model, _ = find_trained(found.info.run_id)
        except DarkroomError:  # it holds none, or its files are gone: it is trained again
            continue
        forget_failure(found.info.run_id)
        return model
    return None


def _search(condition: str, experiment: str | None = None) -> Iterator[Any]:
    """Runs of one experiment, or of all that there are, the latest first."""
    ids = [found.experiment_id for found in client().search_experiments() if experiment in {None, found.name}]
    token = None
    while ids:
        page = client().search_runs(ids, condition, order_by=["attributes.start_time DESC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def mark_evaluated(run_id: str, on: str) -> None:
    """The evaluation of a train run is finished; last of all that is written of it.

    Args:
        run_id: of the train run.
        on: what it follows from, in one line.
    """
    set_tags(run_id, {_EVALUATED: on})


def find_evaluation(run_id: str, on: str) -> dict[str, float] | None:
    """All metrics of a train run whose evaluation is finished and follows from the same; else None."""
    found = find_run(run_id)
    return dict(found.data.metrics) if found.data.tags.get(_EVALUATED) == on else None
