"""One trial of a sweep: a training in a process of its own that logs nothing and tells how it goes."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from pipeline_config.sweep import MAXIMIZED
from tasks import predictions
from tasks.input_pipeline import ImageSet, open_image_set
from tasks.prediction import predict_split
from tasks.records import Manifest
from tasks.statistics import Interval, interval_of_share, mean_interval
from tasks.train.checkpoint import Checkpoint, History, Progress, open_checkpoint
from tasks.train.compute.devices import use_gpus
from tasks.train.compute.threads import use_threads
from tasks.train.computed import choose, fit_planned, share_features
from tasks.train.fit import Fit
from tasks.train.outcome import describe_fit
from tasks.train.registry import adapt_model, build_model

Tell = Callable[[History], bool]
"""Told the epochs that are new; answers whether the trial is to end here, since others were better."""


@dataclass(frozen=True)
class Job:
    """What a trial trains.

    Attributes:
        model: its settings, the trial's own included.
        manifest: of the data set; training and validation rows are used.
        compute: the threads are the trial's share.
        metric: of the sweep, as `val_accuracy`.
        kept: where the state of the training stays after its end, to be gone on with; or None.
        gpus: names of those that it uses; none: all that it sees.
    """

    model: Model
    manifest: Manifest
    compute: Compute
    metric: str
    kept: Path | None = None
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialFit:
    """How a trial's training went.

    Attributes:
        history: of all its epochs.
        metrics: of the weights that were kept; empty of a trial that was pruned.
        interval: 95 %, of the sweep's metric on the validation rows; None of a trial that was pruned.
        settings: how it was computed.
        reason: why so.
    """

    history: History
    metrics: dict[str, float] = field(default_factory=dict)
    interval: Interval | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


class _Pruned(Exception):
    """The trial is worse than others were."""


def fit_trial(tell: Tell, job: Job) -> TrialFit:
    """Train and measure; called in a process that has computed nothing with TensorFlow yet.

    Raises:
        DarkroomError: the loss became infinite or not a number, or the model has no such metric.
    """
    use_gpus(job.gpus)
    use_threads(job.compute.threads)
    model, manifest, cache = job.model, job.manifest, Settings().cache
    images = open_image_set(manifest, cache)
    network = build_model(model, (*manifest.image_size, 3), len(manifest.class_names))
    adapt_model(model, network, images)
    policy, why = choose(network, model, images, job.compute)
    history: History = {}
    with open_checkpoint(cache / "training", model, manifest.digest, manifest.image_size, policy) as checkpoint:
        try:
            fit = fit_planned(network, policy, images, model, model.name, checkpoint, _reporter(tell, job, history))
        except _Pruned:
            return TrialFit(history)
        _keep(checkpoint, job.kept)
    metrics, interval = _measure(network, images, job, fit)
    return TrialFit(fit.history, metrics, interval, policy.settings if policy else {}, why)


def share_work(_: Tell, job: Job) -> None:
    """Compute once, with all processors, what the trials share: features of a frozen backbone."""
    use_threads(job.compute.threads)
    images = open_image_set(job.manifest, Settings().cache)
    network = build_model(job.model, (*job.manifest.image_size, 3), len(job.manifest.class_names))
    adapt_model(job.model, network, images)
    policy, _why = choose(network, job.model, images, job.compute)
    if policy:
        share_features(network, policy, images, job.model)


def _reporter(tell: Tell, job: Job, told: History) -> Callable[[Progress], None]:
    """After every epoch; after the first of a training that goes on, also of those that it had before."""

    def report(progress: Progress) -> None:
        if job.metric not in progress.history:
            raise DarkroomError(
                f"sweep.metric: expected one of {', '.join(sorted(progress.history))}, which models.{job.model.name} "
                f"has; received {job.metric}"
            )
        begin = len(told.get(job.metric, []))
        news = {metric: values[begin:] for metric, values in progress.history.items()}
        for metric, values in news.items():
            told.setdefault(metric, []).extend(values)
        if tell(news):
            raise _Pruned

    return report


def _keep(checkpoint: Checkpoint | None, path: Path | None) -> None:
    if checkpoint and path and checkpoint.path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkpoint.path, path)


def _measure(network: Any, images: ImageSet, job: Job, fit: Fit) -> tuple[dict[str, float], Interval]:
    """Figures of the weights that were kept, and the interval of the sweep's metric.

    The history has the figures; the predictions are made anew only where the interval needs each row: of an accuracy it
    needs the number of hits.
    """
    chosen = {
        f"chosen_{metric}": fit.history[metric][fit.chosen_epoch - 1] for metric in MAXIMIZED if metric in fit.history
    }
    figures = {**chosen, **describe_fit(network, fit)}
    if job.metric == "val_accuracy":
        count = len(images.positions("validation"))
        return figures, interval_of_share(chosen["chosen_val_accuracy"], count)
    validation = predict_split(network, images, "validation", job.manifest.class_names)
    return figures, _interval(validation, job.metric)


def _interval(validation: pd.DataFrame, metric: str) -> Interval:
    """Of the metric on the validation rows. The loss of two heads is known as a whole alone, without its rows."""
    if metric == "val_mean_iou":
        return mean_interval(predictions.ious(validation))
    if not predictions.has_boxes(validation):
        return mean_interval(predictions.log_losses(validation))
    return Interval(math.nan, math.nan)
