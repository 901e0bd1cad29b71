"""Runs, which are never left RUNNING, and the tags that every run carries."""

import functools
import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks.disk import give_up_reserve
from tasks.outage import is_away, without_patience
from tasks.reasons import reason
from tasks.tracking.owners import OWNER, owner
from tasks.tracking.store import client, experiment_id

_NO_TAGS: Mapping[str, str] = {}
FAILURE = "darkroom.failure"
"""Tag: why a run is not FINISHED."""


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
            "darkroom.code_digest": code_digest(),
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


@functools.cache
def code_digest() -> str:
    """64 hex digits over the sources of Darkroom, which need not lie in a checkout."""
    root = Path(__file__).parents[2]
    files = sorted(path for package in ("flows", "tasks", "pipeline_config") for path in (root / package).rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@contextmanager
def run(
    kind: str, name: str, tags: RunTags, parent_run_id: str | None = None, more: Mapping[str, str] = _NO_TAGS
) -> Iterator[str]:
    """A run that is never left RUNNING: FINISHED, FAILED with the reason as a tag, or KILLED.

    Args:
        kind: pipeline, sweep, trial, train, fold, promotion or check.
        name: as MLflow shows it.
        tags: of the pipeline.
        parent_run_id: the run that this one is shown below.
        more: tags of its own.

    Yields:
        The run's id.
    """
    parent = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
    given = {**tags.as_tags(kind), **parent, **more, OWNER: owner()}
    created = client().create_run(experiment_id(tags.experiment), tags=given, run_name=name)
    run_id: str = created.info.run_id
    with continued(run_id):
        yield run_id
        end_run(run_id, "FINISHED")


@contextmanager
def reopened(run_id: str, tags: Mapping[str, str]) -> Iterator[str]:
    """A run that was interrupted is gone on with, by this process; it ends as those of `run` do.

    Args:
        run_id: of a run that is not at work.
        tags: that it gets.

    Yields:
        The run's id.
    """
    set_tags(run_id, {**tags, OWNER: owner()})
    client().update_run(run_id, status="RUNNING")
    if FAILURE in client().get_run(run_id).data.tags:
        client().delete_tag(run_id, FAILURE)
    with continued(run_id):
        yield run_id
        end_run(run_id, "FINISHED")


@contextmanager
def continued(run_id: str) -> Iterator[None]:
    """More is written to a run that has ended; it ends FAILED when that fails."""
    try:
        yield
    except Exception as error:
        _end_badly(run_id, "FAILED", reason(error), patient=not is_away(error))
        raise
    except BaseException:
        _end_badly(run_id, "KILLED", "interrupted", patient=False)
        raise


def _end_badly(run_id: str, status: str, because: str, patient: bool) -> None:
    """As `end_run`; where the server is away the run stays RUNNING, which the next start makes good."""
    try:
        with nullcontext() if patient else without_patience():
            end_run(run_id, status, because)
    except Exception as error:
        if not is_away(error):
            raise


def end_run(run_id: str, status: str, because: str | None = None) -> None:
    """A run is FINISHED, FAILED or KILLED; why it is not finished goes to a tag."""
    if status != "FINISHED":
        give_up_reserve(Settings().home)  # the disk may be full, and this must still be written
    if because:
        client().set_tag(run_id, FAILURE, because[:5_000])
    client().set_terminated(run_id, status)


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    for name, value in tags.items():
        client().set_tag(run_id, name, value)
