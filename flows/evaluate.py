"""Trained models meet the test rows: those of a pipeline, or one of an earlier pipeline by its run's id."""

from prefect import flow

from flows.outcomes import Failure, collect
from pipeline_config.errors import DarkroomError, DataError
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import tracking
from tasks.evaluate.task import evaluate_later, evaluate_model, find_outside_images
from tasks.ingest.outside_dataset import outside_dataset
from tasks.ingest.task import ingest
from tasks.progress import say
from tasks.records import EvaluatedModel, Listing, Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.validate.task import common_size


@flow(name="evaluate", validate_parameters=False)
def evaluate(
    trained: list[TrainedModel], manifest: Manifest, outside: Manifest | None
) -> tuple[list[EvaluatedModel], list[Failure]]:
    """Evaluate all models, on outside images too where there are any; returns what ended well, and what did not."""
    outcomes = ((model.name, evaluate_model(model, manifest, outside, return_state=True)) for model in trained)
    return collect(outcomes, EvaluatedModel)


def find_outside(experiment: Experiment, manifest: Manifest) -> Manifest | None:
    """Images from outside the data set; None where the experiment names none, or none of them counts.

    Raises:
        ConfigurationError: a class folder that is no class of the data set.
        DataError: the folder is missing, or holds no images.
    """
    folder = experiment.evaluation.outside
    if folder is None:
        return None
    listing = ingest(outside_dataset(folder, experiment.dataset, manifest.class_names))
    for note in listing.notes:
        say(f"evaluation.outside: {note}")
    return find_outside_images(listing, manifest)


@flow(name="evaluate run")
def evaluate_run(run_id: str) -> EvaluatedModel:
    """Evaluate one model of an earlier pipeline on the test rows that it had then; nothing is trained.

    Args:
        run_id: of its train run, to which the evaluation is logged anew.

    Raises:
        ConfigurationError: no such run, or it is of another kind.
        DataError: the data are gone, or a test image is gone or has other pixels.
        DarkroomError: the run holds no model.
    """
    trained, tags = tracking.find_trained(run_id)
    pipeline_run_id, experiment = tracking.find_configuration(run_id)
    manifest = _find_manifest(pipeline_run_id, experiment, tags)
    return evaluate_later(trained, manifest, _find_outside_later(experiment, manifest))


def _find_outside_later(experiment: Experiment, manifest: Manifest) -> Manifest | None:
    """As `find_outside`; images that are gone by now cost the run its outside figures alone."""
    try:
        return find_outside(experiment, manifest)
    except DarkroomError as error:
        say(f"warning: evaluated without outside images: {error}")
        return None


def _find_manifest(pipeline_run_id: str, experiment: Experiment, tags: RunTags) -> Manifest:
    """The rows, labels and class names that the pipeline logged, and where its pixels are now."""
    folder = Settings().cache / "earlier_runs" / pipeline_run_id
    folder.mkdir(parents=True, exist_ok=True)
    path, class_names = tracking.fetch_manifest(pipeline_run_id, folder)
    size = experiment.dataset.image_size or common_size(manifests.read(path))
    found = _find_images(pipeline_run_id, experiment)
    return Manifest(path, str(tags.data_digest), str(tags.test_digest), class_names, size, found.root, found.store)


def _find_images(pipeline_run_id: str, experiment: Experiment) -> Listing:
    """The data set as it is now, of which only the place counts.

    Raises:
        DataError: it is not where the configuration says.
    """
    try:
        return ingest(experiment.dataset)
    except DataError as error:
        what, _, _ = str(error).partition("; ")  # the mend is one for `darkroom run`
        raise DataError(
            f"the data of run {pipeline_run_id} are not where they were: {what}; put them back there, or call from the "
            "folder in which it was started, from which relative paths count"
        ) from None
