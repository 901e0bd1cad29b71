"""Explain one evaluated model as a Prefect task."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task

from pipeline_config.settings import Settings
from tasks import predictions, tracking
from tasks.explain.explanation import write_explanation
from tasks.input_pipeline import read_pixels
from tasks.progress import say
from tasks.records import EvaluatedModel, Manifest


@task(name="explain model", task_run_name="explain {evaluated.name}")
def explain_model(evaluated: EvaluatedModel, manifest: Manifest) -> list[str]:
    """Pictures of what the model looks at, logged to `explain/` of its run; returns the artifacts' paths.

    Only the images that are shown are read, each held against its id in the manifest.

    Raises:
        DataError: one of them is gone or has other pixels.
    """
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        model = tracking.load_model(tracking.fetch_model(evaluated.model_uri, Path(temporary) / "model"))
        folder = Path(temporary) / "explain"
        folder.mkdir()
        table = predictions.read(evaluated.predictions)
        size, names = manifest.image_size, manifest.class_names
        for sentence in write_explanation(model, table, read_pixels(manifest), size, names, folder, evaluated.name):
            say(sentence)
        tracking.log_files(evaluated.run_id, folder, "explain")
        return sorted(f"explain/{file.name}" for file in folder.iterdir())
