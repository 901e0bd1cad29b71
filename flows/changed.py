"""Whether a run would tell anything new: data, configuration and code, held against the last finished run."""

from pathlib import Path

from flows.earlier import earlier_folder
from pipeline_config.errors import DarkroomError, DataError
from pipeline_config.experiment import Experiment
from tasks import tracking
from tasks.ingest.task import ingest
from tasks.progress import say
from tasks.records import Changed, Manifest
from tasks.split.task import split_dataset
from tasks.tracking import FinishedPipeline
from tasks.validate.task import validate_dataset


def look_at_data(experiment: Experiment) -> Manifest:
    """The data set as it is now, as `prepare` would have it; unsplit, without a test digest, where its checks fail.

    Files that have not changed are not opened, as what was found in them is kept.
    """
    listing = ingest(experiment.dataset)
    manifest, checks = validate_dataset(listing, experiment.validation, experiment.dataset.image_size)
    if checks.failures:
        return manifest
    try:
        return split_dataset(manifest, experiment.split)
    except DataError:
        return manifest


def find_changes(experiment: Experiment, manifest: Manifest, before: FinishedPipeline) -> Changed | None:
    """What is not as it was at an earlier run; None where all is.

    Args:
        experiment: the configuration of now.
        manifest: the data of now.
        before: the earlier run.
    """
    told = [tracking.tell_configuration(before, experiment), tracking.tell_code(before)]
    sentences = tuple(sentence for sentence in told if sentence)
    if manifest.digest == before.data_digest:
        return Changed(sentences) if sentences else None
    data = _watch(experiment, manifest, before)
    return Changed((*data.sentences, *sentences), data.folder)


def _watch(experiment: Experiment, manifest: Manifest, before: FinishedPipeline) -> Changed:
    from tasks.watch.task import watch_data

    try:
        kept, _ = tracking.fetch_manifest(before.run_id, earlier_folder(before.run_id))
    except DarkroomError as error:
        say(f"warning: {error}")
        return Changed(("the data changed; what they were is not known, as the last run's manifest is gone",))
    return watch_data(Path(kept), manifest, experiment.name)
