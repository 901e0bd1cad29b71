"""Evaluate one trained model as a Prefect task."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task

from pipeline_config.settings import Settings
from tasks import predictions, tracking
from tasks.evaluate.artifacts import write_evaluation
from tasks.evaluate.cost import BATCH_SIZES, measure_cost
from tasks.evaluate.outside import evaluate_outside
from tasks.evaluate.outside_images import make_outside_manifest
from tasks.evaluate.slices import write_slices
from tasks.evaluate.unlabelled import classify_unlabelled
from tasks.input_pipeline import open_image_set, read_pixels
from tasks.prediction import predict_split
from tasks.progress import say
from tasks.recheck import check_test_images, keep_test_rows
from tasks.records import Elsewhere, EvaluatedModel, Listing, Manifest, TrainedModel
from tasks.sample import FILE as SAMPLE_FILE
from tasks.sample import write_sample

NOWHERE = Elsewhere()


@task(name="evaluate model", task_run_name="evaluate {trained.name}")
def evaluate_model(trained: TrainedModel, manifest: Manifest, elsewhere: Elsewhere = NOWHERE) -> EvaluatedModel:
    """The model, loaded from MLflow, meets the test rows, once; everything is computed from that one pass.

    Images from elsewhere, where there are any, have a pass and files of their own.
    """
    with tracking.continued(trained.run_id):
        return _evaluate(trained, manifest, manifest, elsewhere)


def evaluated_on(manifest: Manifest, elsewhere: Elsewhere) -> str:
    """What an evaluation follows from, beside the model: digests of the images; empty where some have none."""
    if elsewhere.unlabelled:
        return ""
    return " ".join([manifest.test_digest, *([elsewhere.outside.digest] if elsewhere.outside else [])])


def predictions_file(run_id: str) -> Path:
    """Where the predictions table of a train run is kept, beside MLflow's copy."""
    return Settings().cache / "predictions" / f"{run_id}.parquet"


def find_evaluated(trained: TrainedModel, manifest: Manifest, elsewhere: Elsewhere) -> EvaluatedModel | None:
    """The evaluation of a model on these images, where it was finished and its table can be read; else None."""
    on = evaluated_on(manifest, elsewhere)
    metrics = tracking.find_evaluation(trained.run_id, on) if on else None
    if metrics is None or not predictions.is_readable(predictions_file(trained.run_id)):
        return None
    return _evaluated(trained, manifest, metrics)


@task(name="evaluate model later", task_run_name="evaluate {trained.name} later")
def evaluate_later(trained: TrainedModel, manifest: Manifest, elsewhere: Elsewhere = NOWHERE) -> EvaluatedModel:
    """As `evaluate_model`, for a run that ended long ago: its test images may have changed, and its cache be gone.

    A failure leaves the run's status as it was: neither the training nor an earlier evaluation is undone by it.

    Raises:
        DataError: a test image is gone or has other pixels.
    """
    check_test_images(manifest)
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        evaluated = _evaluate(trained, manifest, keep_test_rows(manifest, Path(temporary)), elsewhere)
    tracking.forget_failure(trained.run_id)
    return evaluated


@task(name="find outside images")
def find_outside_images(listing: Listing, manifest: Manifest) -> Manifest | None:
    """A manifest of the listed images that are no images of the data set; says which are left out, and why."""
    outside, left_out = make_outside_manifest(listing, manifest, Settings().cache)
    for sentence in left_out:
        say(sentence)
    if outside is None:
        say(f"warning: no outside image is left of those in {listing.root}; nothing is measured on any")
    return outside


def _evaluate(trained: TrainedModel, manifest: Manifest, pictured: Manifest, elsewhere: Elsewhere) -> EvaluatedModel:
    """Evaluate on the images of `pictured`: all of the manifest's rows, or those to test with."""
    settings = Settings()
    with TemporaryDirectory(dir=settings.cache) as temporary:
        files = tracking.fetch_model(trained.model_uri, Path(temporary) / "model")
        folder = Path(temporary) / "evaluation"
        model = tracking.load_model(files)
        images = open_image_set(pictured, settings.cache)
        started = time.perf_counter()
        table = predict_split(model, images, "test", manifest.class_names)
        seconds = time.perf_counter() - started
        metrics = write_evaluation(table, read_pixels(pictured), folder, trained.name)
        metrics["predict_ms_per_image"] = 1_000 * seconds / len(table)
        metrics["model_bytes"] = sum(file.stat().st_size for file in files.rglob("*") if file.is_file())
        metrics |= measure_cost(model, images.read(images.positions("test")[: max(BATCH_SIZES)]))
        write_sample(images, folder / SAMPLE_FILE)
        write_slices(table, images.rows, folder, trained.name)
        if elsewhere.outside:
            metrics |= evaluate_outside(model, elsewhere.outside, settings.cache, folder, trained.name, metrics)
        if elsewhere.unlabelled and predictions.has_classes(table):
            names, size = manifest.class_names, manifest.image_size
            classify_unlabelled(model, elsewhere.unlabelled, size, names, folder, trained.name)
        tracking.log_files(trained.run_id, folder, "evaluation")
        tracking.log_metrics(trained.run_id, metrics, trained.model_id)
        tracking.log_dataset_input(trained.run_id, manifest, images.rows.iloc[images.positions("test")], "test")
        predictions.write(table, predictions_file(trained.run_id))
        tracking.mark_evaluated(trained.run_id, evaluated_on(manifest, elsewhere))
    return _evaluated(trained, manifest, {**trained.metrics, **metrics})


def _evaluated(trained: TrainedModel, manifest: Manifest, metrics: dict[str, float]) -> EvaluatedModel:
    return EvaluatedModel(
        name=trained.name,
        family=trained.family,
        run_id=trained.run_id,
        model_id=trained.model_id,
        model_uri=trained.model_uri,
        predictions=predictions_file(trained.run_id),
        test_digest=manifest.test_digest,
        metrics=metrics,
    )
