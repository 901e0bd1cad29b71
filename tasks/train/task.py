"""Train one model as a Prefect task."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State, TaskRun

from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.disk import is_disk_full
from tasks.input_pipeline import ImageSet, open_image_set
from tasks.progress import say
from tasks.records import Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.checkpoint import open_checkpoint
from tasks.train.computed import fit_planned, plan
from tasks.train.cross_validation import cross_validate
from tasks.train.looks import log_looks
from tasks.train.outcome import log_fit, log_settings, measure_fit
from tasks.train.registry import adapt_model, build_model, cost_warning

_EXAMPLES = 2


def _may_pass(task: Any, task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect calls it with these
    """Try again only what another try can mend: input and output, not a wrong setting or a lost loss."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and not is_disk_full(error)


@task(
    name="train model",
    task_run_name="train {model.name}",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_may_pass,
)
def train_model(
    model: Model,
    manifest: Manifest,
    tags: RunTags,
    parent_run_id: str,
    compute: Compute,
    begin_with: Path | None = None,
) -> TrainedModel:
    """Fit one model, on every fold first, log it with its curves, and choose nothing by test rows.

    Args:
        model: its section.
        manifest: of the data.
        tags: of the pipeline.
        parent_run_id: the pipeline's run.
        compute: what of the computation is set by hand.
        begin_with: state of a training with the same settings and fewer epochs, to be gone on with.
    """
    import keras

    settings = Settings()
    with tracking.train_run(model, compute, tags, parent_run_id) as run_id:
        log_settings(run_id, model)
        images = open_image_set(manifest, settings.cache)
        _warn_of_cost(run_id, model, images, manifest)
        of_folds = cross_validate(model, images, manifest, tags, run_id, compute)
        tracking.log_metrics(run_id, of_folds)
        keras.utils.clear_session()  # else the graphs of the models before stay in memory
        network = build_model(model, (*manifest.image_size, 3), len(manifest.class_names))
        log_looks(run_id, model, network, images, manifest.class_names, settings.cache)
        adapt_model(model, network, images)
        policy = plan(run_id, network, model, images, compute)
        key = (manifest.digest, manifest.image_size, policy)
        with open_checkpoint(settings.cache / "training", model, *key, begin_with=begin_with) as kept:
            fit = fit_planned(network, policy, images, model, model.name, kept)
            log_fit(run_id, model.name, fit, settings.cache)
            model_id = _log_network(run_id, network, images, manifest.class_names)
            metrics = measure_fit(network, images, manifest.class_names, fit)
            tracking.log_metrics(run_id, metrics, model_id)
        for split in ("train", "validation"):
            tracking.log_dataset_input(run_id, manifest, images.rows.iloc[images.positions(split)], split)
    return TrainedModel(model.name, model.family, run_id, model_id, f"models:/{model_id}", {**of_folds, **metrics})


def _warn_of_cost(run_id: str, model: Model, images: ImageSet, manifest: Manifest) -> None:
    """Before the fit, since it may be the last that is heard for long."""
    count = len(images.positions("train"))
    warning = cost_warning(model, count, (*manifest.image_size, 3), len(manifest.class_names))
    if warning:
        say(f"Warning: {warning}")
        tracking.set_tags(run_id, {"darkroom.warning": warning})


def _log_network(run_id: str, network: Any, images: ImageSet, class_names: tuple[str, ...]) -> str:
    example = images.pixels[images.positions("train")[:_EXAMPLES]]
    probabilities = (
        network.predict_proba(example) if hasattr(network, "predict_proba") else network.predict_on_batch(example)
    )
    return tracking.log_model(run_id, network, example, probabilities, class_names)
