"""Runs of sweeps and of their trials: one run a study, opened again when the study is gone on with."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.tracking.runs import RunTags, reopened, run, set_tags
from tasks.tracking.store import client, experiment_id

_STUDY = "darkroom.study"


@contextmanager
def sweep_run(study: str, name: str, tags: RunTags, parent_run_id: str) -> Iterator[str]:
    """The run of a study; of one that is gone on with, the run that it has, now below its new parent.

    What killed processes left RUNNING was closed before the pipeline began. The caller must be alone at the study.

    Args:
        study: its name.
        name: as MLflow shows the run.
        tags: of the pipeline.
        parent_run_id: the pipeline's run.

    Yields:
        The run's id.
    """
    found = _find(tags.experiment, f"tags.`{_STUDY}` = '{study}' AND tags.`darkroom.kind` = 'sweep'")
    if not found:
        with run("sweep", name, tags, parent_run_id) as run_id:
            set_tags(run_id, {_STUDY: study})
            yield run_id
        return
    with reopened(found[0], {**tags.as_tags("sweep"), "mlflow.parentRunId": parent_run_id}) as run_id:
        yield run_id


def _find(experiment: str, condition: str) -> list[str]:
    """Ids of the runs, the latest first."""
    return [found.info.run_id for found in client().search_runs([experiment_id(experiment)], condition)]


def mark_trial(run_id: str, study: str, number: int) -> None:
    """A run is that of a study's trial."""
    set_tags(run_id, {_STUDY: study, "darkroom.trial": str(number)})
