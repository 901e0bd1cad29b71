"""Cross-validation: how much a model's validation figures hang on which images it is validated with.

Every training and validation image is held out once; test images are never seen. The runs of the folds stand below the
model's own run. None of their weights is kept: the model itself is fitted on the ordinary split, afterwards.
"""

import statistics
from collections.abc import Sequence

from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.input_pipeline import ImageSet
from tasks.records import Manifest
from tasks.tracking import RunTags
from tasks.train.checkpoint import open_checkpoint
from tasks.train.computed import fit_planned, plan
from tasks.train.outcome import log_fit, log_settings, measure_fit
from tasks.train.registry import adapt_model, build_model


def cross_validate(
    model: Model, images: ImageSet, manifest: Manifest, tags: RunTags, train_run_id: str, compute: Compute
) -> dict[str, float]:
    """Fit the model anew on every fold, each fold a run of kind `fold`.

    Args:
        model: the same settings for every fold, `train.seed` included.
        images: whose rows tell their folds.
        manifest: that the images are of.
        tags: of the pipeline.
        train_run_id: the run that those of the folds are shown below.
        compute: what of the computation is set by hand.

    Returns:
        `cv_val_accuracy_mean`, `cv_val_accuracy_std` and the same of `cv_val_loss` and, of boxes, `cv_val_mean_iou`,
        over the folds: mean and sample standard deviation. Nothing where the manifest has no folds.

    Raises:
        DarkroomError: the loss of a fold became infinite or not a number; that fold's run ends FAILED.
    """
    numbers = sorted(images.rows["fold"].dropna().unique())
    figures = [
        _fit_fold(model, images, manifest, tags, train_run_id, compute, int(fold), len(numbers)) for fold in numbers
    ]
    return summarise(figures) if figures else {}


def _fit_fold(
    model: Model,
    images: ImageSet,
    manifest: Manifest,
    tags: RunTags,
    train_run_id: str,
    compute: Compute,
    fold: int,
    folds: int,
) -> dict[str, float]:
    import keras

    name = f"{model.name} fold {fold + 1} of {folds}"
    with tracking.run("fold", name, tags, train_run_id) as run_id:
        log_settings(run_id, model, fold=fold)
        network = build_model(model, (*manifest.image_size, 3), len(manifest.class_names))
        parted = images.fold(fold)
        adapt_model(model, network, parted)
        policy = plan(run_id, network, model, parted, compute)
        key = (manifest.digest, manifest.image_size, policy, fold)
        with open_checkpoint(Settings().cache / "training", model, *key) as kept:
            fit = fit_planned(network, policy, parted, model, name, kept)
            log_fit(run_id, name, fit, Settings().cache)
            figures = measure_fit(network, parted, manifest.class_names, fit)
            tracking.log_metrics(run_id, figures)
    keras.utils.clear_session()  # else the graphs of every fold stay in memory
    return figures


def summarise(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean and sample standard deviation (n - 1 degrees of freedom) over the folds, at least two.

    The folds' models share most of their training images, so this deviation is no standard error of the mean
    (Bengio and Grandvalet 2004: no estimator of it is free of bias).
    """
    summary = {}
    for metric in (name for name in ("val_accuracy", "val_mean_iou", "val_loss") if f"chosen_{name}" in figures[0]):
        values = [fold[f"chosen_{metric}"] for fold in figures]
        summary[f"cv_{metric}_mean"] = statistics.fmean(values)
        summary[f"cv_{metric}_std"] = statistics.stdev(values)
    return summary
