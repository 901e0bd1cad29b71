"""Log the comparison of a pipeline's models as a Prefect task."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.artifacts import create_markdown_artifact

from pipeline_config.settings import Settings
from tasks import tracking
from tasks.compare.answers import read_answers
from tasks.compare.files import write_comparison
from tasks.compare.lone_hits import find_lone_hits, ids_of
from tasks.compare.markdown import as_markdown
from tasks.compare.table import Group, compare
from tasks.compare.thumbnails import Thumbnails, take_thumbnails
from tasks.images import ImageReader
from tasks.records import EvaluatedModel, Manifest


@task(name="compare")
def log_comparison(models: list[EvaluatedModel], run_id: str, manifest: Manifest | None = None) -> None:
    """The models' table in `comparison/` of the pipeline run, and as Prefect artifact.

    Args:
        models: of one pipeline, hence evaluated on the same test rows; at least one.
        run_id: of the pipeline.
        manifest: of the data that they were evaluated on, whose images the page shows; None shows none.
    """
    runs = tracking.read_runs(model.run_id for model in models)
    groups = compare(runs, {model.run_id: read_answers(model.predictions) for model in models})
    thumbnails = {group.test_digest: _take(manifest, group) for group in groups} if manifest else {}
    with TemporaryDirectory(dir=Settings().cache) as folder:
        write_comparison(groups, Path(folder), thumbnails)
        tracking.log_files(run_id, Path(folder), "comparison")
    create_markdown_artifact(as_markdown(groups), key="comparison")


def _take(manifest: Manifest, group: Group) -> Thumbnails:
    return take_thumbnails(manifest.path, ImageReader(manifest.root, manifest.store), ids_of(find_lone_hits(group)))
