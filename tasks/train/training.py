"""One model from its section to its run in MLflow: fitted, logged with its curves, and nothing chosen by test rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.input_pipeline import ImageSet, open_image_set
from tasks.processes import Tell
from tasks.progress import say, told_to
from tasks.records import Manifest, TrainedModel
from tasks.tracking import RunTags
from tasks.train.checkpoint import open_checkpoint
from tasks.train.compute.devices import use_gpus
from tasks.train.compute.threads import use_threads
from tasks.train.computed import fit_planned, plan
from tasks.train.cross_validation import cross_validate
from tasks.train.looks import log_looks
from tasks.train.outcome import log_fit, log_settings, measure_fit
from tasks.train.registry import adapt_model, build_model, cost_warning

_EXAMPLES = 2


@dataclass(frozen=True)
class Training:
    """What is trained, and how.

    Attributes:
        model: its section.
        manifest: of the data.
        tags: of the pipeline.
        compute: what of the computation is set by hand; the threads may be a share of the machine's.
        begin_with: state of a training with the same settings and fewer epochs, to be gone on with; or None.
        gpus: names of those that a process of its own uses; none: all that it sees.
    """

    model: Model
    manifest: Manifest
    tags: RunTags
    compute: Compute
    begin_with: Path | None = None
    gpus: tuple[str, ...] = ()


def train_apart(tell: Tell, run_id: str, training: Training) -> TrainedModel:
    """As `train_and_log`, called in a process that has computed nothing with TensorFlow yet; tells what it would say.

    Raises:
        ConfigurationError: this machine does not have the data.
    """
    _check_reached(training.manifest)
    use_gpus(training.gpus)
    use_threads(training.compute.threads)
    with told_to(tell):
        return train_and_log(run_id, training)


def train_and_log(run_id: str, training: Training) -> TrainedModel:
    """Fit a model, on every fold first.

    Args:
        run_id: of its run, which is open.
        training: what is trained, and how.

    Raises:
        DarkroomError: the loss became infinite or not a number.
    """
    import keras

    model, manifest, tags, compute = training.model, training.manifest, training.tags, training.compute
    cache = Settings().cache
    log_settings(run_id, model)
    images = open_image_set(manifest, cache)
    _warn_of_cost(run_id, model, images, manifest)
    of_folds = cross_validate(model, images, manifest, tags, run_id, compute)
    tracking.log_metrics(run_id, of_folds)
    keras.utils.clear_session()  # else the graphs of the models before stay in memory
    network = build_model(model, (*manifest.image_size, 3), len(manifest.class_names))
    log_looks(run_id, model, network, images, manifest.class_names, cache)
    adapt_model(model, network, images)
    policy = plan(run_id, network, model, images, compute)
    key = (manifest.digest, manifest.image_size, policy)
    with open_checkpoint(cache / "training", model, *key, begin_with=training.begin_with) as kept:
        fit = fit_planned(network, policy, images, model, model.name, kept)
        log_fit(run_id, model.name, fit, cache)
        model_id = _log_network(run_id, network, images, manifest.class_names)
        metrics = measure_fit(network, images, manifest.class_names, fit)
        tracking.log_metrics(run_id, metrics, model_id)
    for split in ("train", "validation"):
        tracking.log_dataset_input(run_id, manifest, images.rows.iloc[images.positions(split)], split)
    return TrainedModel(model.name, model.family, run_id, model_id, f"models:/{model_id}", {**of_folds, **metrics})


def _check_reached(manifest: Manifest) -> None:
    """A worker on another machine has the same files under the same paths, or says so before anything else fails."""
    if not manifest.path.exists():
        raise ConfigurationError(
            f"execution.address: expected workers that reach DARKROOM_HOME and the data under the same paths as here; "
            f"received one that finds no {manifest.path}; mount the same folders there"
        )


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
