"""Trained models meet the test rows: those of a pipeline, or one of an earlier pipeline by its run's id."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.earlier import find_manifest
from flows.outcomes import Failure, collect
from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment
from tasks import tracking
from tasks.evaluate.task import evaluate_later, evaluate_model, find_evaluated, find_outside_images
from tasks.ingest.outside_dataset import outside_dataset, unlabelled_folder
from tasks.ingest.task import ingest
from tasks.progress import say
from tasks.records import Elsewhere, EvaluatedModel, Manifest, TrainedModel


@flow(name="evaluate", validate_parameters=False)
def evaluate(
    trained: list[TrainedModel], manifest: Manifest, elsewhere: Elsewhere
) -> tuple[list[EvaluatedModel], list[Failure]]:
    """Evaluate all models, on images from elsewhere too if there are any; returns what ended well, and what did not.

    What a pipeline had evaluated before it was interrupted does not meet the test rows again.
    """

    def outcome(model: TrainedModel) -> State[Any]:
        found = find_evaluated(model, manifest, elsewhere)
        return Completed(data=found) if found else evaluate_model(model, manifest, elsewhere, return_state=True)

    return collect(((model.name, outcome(model)) for model in trained), EvaluatedModel)


def find_elsewhere(experiment: Experiment, manifest: Manifest) -> Elsewhere:
    """What the section `evaluation` names.

    Raises:
        ConfigurationError: a class folder of the outside images that is no class of the data set.
        DataError: a folder is missing, or that of the outside images holds none.
    """
    return Elsewhere(_find_outside(experiment, manifest), unlabelled_folder(experiment.evaluation.unlabelled))


def _find_outside(experiment: Experiment, manifest: Manifest) -> Manifest | None:
    """Images from outside the data set; None where the experiment names none, or none of them counts."""
    folder = experiment.evaluation.outside
    if folder is None:
        return None
    listing = ingest(outside_dataset(folder, experiment.dataset, manifest.class_names))
    for note in listing.notes:
        say(f"evaluation.outside: {note}")
    return find_outside_images(listing, manifest)


@flow(name="evaluate run")
def evaluate_run(run_id: str, outside: str | None = None, unlabelled: str | None = None) -> EvaluatedModel:
    """Evaluate one model of an earlier pipeline on the test rows that it had then; nothing is trained.

    Args:
        run_id: of its train run, to which the evaluation is logged anew.
        outside, unlabelled: folders, instead of those of the section `evaluation` that the pipeline had.

    Raises:
        ConfigurationError: no such run, or it is of another kind.
        DataError: the data are gone, or a test image is gone or has other pixels.
        DarkroomError: the run holds no model.
    """
    trained, tags = tracking.find_trained(run_id)
    pipeline_run_id, experiment = tracking.find_configuration(run_id)
    manifest = find_manifest(pipeline_run_id, experiment, tags)
    given = {key: folder for key, folder in (("outside", outside), ("unlabelled", unlabelled)) if folder}
    if given:
        asked = experiment.model_copy(update={"evaluation": experiment.evaluation.model_copy(update=given)})
        return evaluate_later(trained, manifest, find_elsewhere(asked, manifest))
    return evaluate_later(trained, manifest, _find_elsewhere_later(experiment, manifest))


def _find_elsewhere_later(experiment: Experiment, manifest: Manifest) -> Elsewhere:
    """As `find_elsewhere`; images that are gone by now cost the run what would be told of them alone."""
    try:
        return find_elsewhere(experiment, manifest)
    except DarkroomError as error:
        say(f"warning: evaluated without outside images: {error}")
        return Elsewhere()
