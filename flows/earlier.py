"""The data of an earlier pipeline, found by its run's id: as it logged them, and where their pixels are now."""

from pathlib import Path

from pipeline_config.errors import DataError
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import tracking
from tasks.ingest.task import ingest
from tasks.records import Listing, Manifest
from tasks.tracking import RunTags
from tasks.validate.task import common_size


def find_manifest(pipeline_run_id: str, experiment: Experiment, tags: RunTags) -> Manifest:
    """The rows, labels and class names that the pipeline logged, and where its pixels are now.

    Args:
        pipeline_run_id: of the pipeline's run.
        experiment: the configuration that it logged.
        tags: of one of its train runs.

    Raises:
        DataError: the data are not where the configuration says.
        DarkroomError: what the pipeline logged is gone.
    """
    path, class_names = tracking.fetch_manifest(pipeline_run_id, earlier_folder(pipeline_run_id))
    size = experiment.dataset.image_size or common_size(manifests.read(path))
    found = _find_images(pipeline_run_id, experiment)
    return Manifest(path, str(tags.data_digest), str(tags.test_digest), class_names, size, found.root, found.store)


def earlier_folder(pipeline_run_id: str) -> Path:
    """Where what is fetched of an earlier run is put."""
    folder = Settings().cache / "earlier_runs" / pipeline_run_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
