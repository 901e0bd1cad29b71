"""A sweep from its study to its report; the best trial's settings take the model's place in the experiment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.cluster import Runner
from flows.trials import Search, run_trials, tell_reasons
from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.input_pipeline import open_image_set
from tasks.progress import say
from tasks.reasons import reason
from tasks.records import Manifest, Trial
from tasks.sweep import study as studies
from tasks.sweep.space import trial_model, with_values
from tasks.sweep.task import report_sweep
from tasks.sweep.ties import Recommendation, recommend
from tasks.tracking import RunTags


@dataclass(frozen=True)
class Swept:
    """What a sweep came to.

    Attributes:
        study: its name.
        run_id: in MLflow.
        metric: that it was judged by.
        trials: that ended, those of earlier runs of the same sweep among them, by number.
        verdict: the best, those tied with it, the recommended one.
        model: the section of the model, with the best's settings and with all its epochs.
        begin_with: state of the best trial's training, to be gone on with; or None.
    """

    study: str
    run_id: str
    metric: str
    trials: tuple[Trial, ...]
    verdict: Recommendation
    model: Model
    begin_with: Path | None


def sweep(experiment: Experiment, manifest: Manifest, tags: RunTags, pipeline_run_id: str, runner: Runner) -> Swept:
    """Run the sweep of an experiment, or go on with it; called within a flow.

    Args:
        experiment: with a sweep.
        manifest: of the data; test rows are not used.
        tags: of the pipeline.
        pipeline_run_id: the run that the sweep's is shown below.
        runner: of the trials.

    Raises:
        DarkroomError: no trial came to its end, too many failed, or another process is at the same sweep.
    """
    images = open_image_set(manifest, Settings().cache)  # decoded here, once
    validated = len(images.positions("validation"))
    with _opened(experiment, manifest, tags, pipeline_run_id) as search:
        try:
            run_trials.with_options(task_runner=runner.task_runner, flow_run_name=search.name)(search, runner.workers)
        except DarkroomError:
            _report(search, validated)  # the trials that ended are not lost
            raise
        _report(search, validated)
        return _conclude(search, validated)


@contextmanager
def _opened(experiment: Experiment, manifest: Manifest, tags: RunTags, pipeline_run_id: str) -> Iterator[Search]:
    """The study and its run, for this process alone; what was interrupted is closed."""
    section, settings = experiment.sweep, Settings()
    assert section is not None
    name, epochs = studies.study_name(experiment, manifest.digest), trial_model(experiment, {}).train.all_epochs
    with (
        studies.held(name, settings.sweeps),
        tracking.sweep_run(name, f"sweep {section.model}", tags, pipeline_run_id) as run_id,
    ):
        study = studies.open_study(name, section, epochs, settings.sweep_storage, settings.sweeps)
        search = Search(experiment, manifest, tags, run_id, study, settings.sweeps / name)
        interrupted = studies.close_interrupted(study)
        if section.sampler == "grid":
            studies.queue_grid(study, section)
        ended = search.ended()
        if ended or interrupted:
            say(f"{search.name} goes on: {len(ended)} trials ended before, {len(interrupted)} are run again")
        yield search


def _report(search: Search, validated: int) -> None:
    """Where it fails, nothing else is lost."""
    trials = search.ended()
    if not trials:
        return
    about = (search.study, trials, search.section, search.run_id, validated)
    error = report_sweep(*about, return_state=True).result(raise_on_failure=False)
    if isinstance(error, BaseException):
        say(f"warning: the report of {search.name} could not be logged: {reason(error)}")


def _conclude(search: Search, validated: int) -> Swept:
    trials, metric = search.ended(), search.section.metric
    verdict = recommend(trials, metric, validated)
    if verdict is None:
        raise DarkroomError(f"{search.name}: no trial came to its end: {tell_reasons(trials)}")
    tracking.set_tags(search.run_id, {"mlflow.note.content": verdict.sentence})
    tracking.log_metrics(search.run_id, verdict.best.metrics)
    model = with_values(search.experiment.model(search.section.model), verdict.best.params)
    state = search.state_of(verdict.best.number)
    for path in search.folder.glob("*.npz"):  # each several times as large as its model
        if path != state:
            path.unlink()
    return Swept(search.study.study_name, search.run_id, metric, tuple(trials), verdict, model, state)


def with_winner(experiment: Experiment, swept: Swept | None) -> Experiment:
    """The experiment with the best trial's settings in its model's place; without the model where the sweep failed."""
    assert experiment.sweep is not None
    place = {experiment.sweep.model: [swept.model] if swept else []}
    models = [found for model in experiment.models for found in place.get(model.name, [model])]
    return experiment.model_copy(update={"models": tuple(models)})
