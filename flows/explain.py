"""What a model of an earlier pipeline looks at, as pictures."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow

from flows.earlier import find_manifest
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.explain.task import explain_model


@flow(name="explain run")
def explain_run(run_id: str) -> list[str]:
    """Explain one evaluated model of an earlier pipeline on test images that it had then; nothing is trained.

    Args:
        run_id: of its train run, to which the pictures are logged.

    Returns:
        The artifacts' paths in that run.

    Raises:
        ConfigurationError: no such run, or it is of another kind.
        DataError: the data are gone, or an image that is shown is gone or has other pixels.
        DarkroomError: the run holds no model, or it was not evaluated.
    """
    with TemporaryDirectory(dir=Settings().cache) as folder:
        evaluated, tags = tracking.find_evaluated(run_id, Path(folder))
        pipeline_run_id, experiment = tracking.find_configuration(run_id)
        return explain_model(evaluated, find_manifest(pipeline_run_id, experiment, tags))
