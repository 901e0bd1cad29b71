"""What a schedule runs: it asks whether anything changed, and trains only then. Light to import, as it mostly waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.changed import find_changes, look_at_data
from flows.failure import tell_failure
from flows.missed import SKIPPED, made_up_for
from flows.notices import Notice, link_to, tell
from flows.reconcile import mark_flow_run, marked_flows, reconcile_files, reconcile_runs
from flows.start import check_places, load_checked, warm_up
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import say
from tasks.records import Changed
from tasks.tracking import RunTags

NOTHING_TO_DO = "Nothing to do"
"""Name of the state of a run that found all as it was."""


@flow(name="scheduled", flow_run_name="{experiment}", on_failure=[tell_failure], on_crashed=[tell_failure])
def scheduled(experiment: str, overrides: tuple[str, ...] = (), even_if_nothing_changed: bool = False) -> Any:
    """Run an experiment from its data to the registry's decision, if anything changed since its last finished run.

    Data, configuration and code are held against the last finished run of this configuration.

    Args:
        experiment: Name of a shipped experiment, or path of a YAML file.
        overrides: Keys of the file to be set, each as dotted.key=value, such as train.epochs=3.
        even_if_nothing_changed: Train in any case.

    Raises:
        DarkroomError: as `pipeline`.
    """
    check_places(Settings())
    missed = made_up_for(str(flow_run.id))
    if missed:
        return _skipped(missed)
    config = load_checked(experiment, list(overrides))
    tags = RunTags(config.name, tracking.config_digest(config), flow_run.id)
    with _held(tags) as alone:
        if not alone:
            return _skipped(f"another run of {config.name} is at work; this one leaves the work to it")
        mark_flow_run(str(flow_run.id))
        for sentence in [*reconcile_runs(), *reconcile_files()]:
            say(sentence)
        changed = _look(config, tags, even_if_nothing_changed)
        if isinstance(changed, Changed):
            return _train(experiment, list(overrides), config, changed)
        return changed


def _look(config: Experiment, tags: RunTags, in_any_case: bool) -> Changed | State[Any]:
    """What changed; or the state to end in, recorded, where nothing did."""
    before = tracking.find_last_finished(tags)
    if before is None:
        return Changed(("no run of it has finished yet",))
    manifest = look_at_data(config)
    changed = find_changes(config, manifest, before)
    if changed:
        return changed
    sentence = f"data, configuration and code are as they were in the run {before.run_id}"
    if in_any_case:
        return Changed((f"it was asked for, although {sentence}",))
    now = replace(tags, data_digest=manifest.digest, test_digest=manifest.test_digest)
    run_id = tracking.record_check(now, f"Nothing to do: {sentence}")
    tell(Notice(config.name, "nothing to do", sentence, run_id=run_id, link=link_to(run_id)), str(flow_run.id))
    return Completed(name=NOTHING_TO_DO, message=sentence)


def _train(experiment: str, overrides: list[str], config: Experiment, changed: Changed) -> State[Any]:
    say(f"{config.name} is run because {changed}")
    warm_up(Settings(), config.dataset, isolating=config.sweep is not None)
    from flows.pipeline import pipeline

    with marked_flows():
        result = pipeline(experiment, overrides, changed=changed)
    run_id = result.pipeline_run_id
    decision = result.decision.decision
    notice = Notice(config.name, "done", str(changed), result.best.name, decision, run_id, link_to(run_id))
    tell(notice, str(flow_run.id))
    return Completed(message=f"{decision}: {result.decision.detail}")


def _skipped(sentence: str) -> State[Any]:
    say(sentence)
    return Completed(name=SKIPPED, message=sentence)


@contextmanager
def _held(tags: RunTags) -> Iterator[bool]:
    """Whether no other process of this home is at the experiment: by schedule, or with this configuration by hand.

    The kernel frees the lock of a process that was killed.
    """
    from filelock import FileLock, Timeout

    with tracking.pipeline_held(tags) as free:  # makes the folder; `pipeline` takes this lock itself
        pass
    lock = FileLock(Settings().home / "locks" / f"scheduled-{tags.experiment}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        free = False
    try:
        yield free
    finally:
        lock.release()
