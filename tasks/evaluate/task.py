"""Evaluate one trained model as a Prefect task."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task

from pipeline_config.settings import Settings
from tasks import predictions, tracking
from tasks.evaluate.artifacts import write_evaluation
from tasks.input_pipeline import open_image_set, read_pixels
from tasks.prediction import predict_split
from tasks.records import EvaluatedModel, Manifest, TrainedModel


@task(name="evaluate model", task_run_name="evaluate {trained.name}")
def evaluate_model(trained: TrainedModel, manifest: Manifest) -> EvaluatedModel:
    """The model, loaded from MLflow, meets the test rows, once; everything is computed from that one pass."""
    settings = Settings()
    with tracking.continued(trained.run_id), TemporaryDirectory(dir=settings.cache) as temporary:
        files = tracking.fetch_model(trained.model_uri, Path(temporary) / "model")
        folder = Path(temporary) / "evaluation"
        model = tracking.load_model(files)
        images = open_image_set(manifest, settings.cache)
        started = time.perf_counter()
        table = predict_split(model, images, "test", manifest.class_names)
        seconds = time.perf_counter() - started
        metrics = write_evaluation(table, read_pixels(manifest), folder, trained.name)
        metrics["predict_ms_per_image"] = 1_000 * seconds / len(table)
        metrics["model_bytes"] = sum(file.stat().st_size for file in files.rglob("*") if file.is_file())
        tracking.log_files(trained.run_id, folder, "evaluation")
        tracking.log_metrics(trained.run_id, metrics, trained.model_id)
        tracking.log_dataset_input(trained.run_id, manifest, images.rows.iloc[images.positions("test")], "test")
        kept = settings.cache / "predictions" / f"{trained.run_id}.parquet"
        predictions.write(table, kept)
    return EvaluatedModel(
        name=trained.name,
        family=trained.family,
        run_id=trained.run_id,
        model_id=trained.model_id,
        model_uri=trained.model_uri,
        predictions=kept,
        test_digest=manifest.test_digest,
        metrics={**trained.metrics, **metrics},
    )
