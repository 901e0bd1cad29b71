"""Log the comparison of a pipeline's models as a Prefect task."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.artifacts import create_markdown_artifact

from pipeline_config.settings import Settings
from tasks import tracking
from tasks.compare.files import write_comparison
from tasks.compare.markdown import as_markdown
from tasks.compare.table import compare, read_hits
from tasks.records import EvaluatedModel


@task(name="compare")
def log_comparison(models: list[EvaluatedModel], run_id: str) -> None:
    """The models' table in `comparison/` of the pipeline run, and as Prefect artifact.

    Args:
        models: of one pipeline, hence evaluated on the same test rows; at least one.
        run_id: of the pipeline.
    """
    runs = tracking.read_runs(model.run_id for model in models)
    groups = compare(runs, {model.run_id: read_hits(model.predictions) for model in models})
    with TemporaryDirectory(dir=Settings().cache) as folder:
        write_comparison(groups, Path(folder))
        tracking.log_files(run_id, Path(folder), "comparison")
    create_markdown_artifact(as_markdown(groups), key="comparison")
