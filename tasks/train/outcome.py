"""What a training leaves in its run: curves, and figures of the weights that were kept."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipeline_config.experiment import Model
from tasks import predictions, tracking
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.train.box_diagnosis import diagnose_boxes
from tasks.train.curves import draw_curves
from tasks.train.diagnosis import Diagnosis, diagnose
from tasks.train.fit import Fit
from tasks.train.registry import checked_params, count_parameters


def log_settings(run_id: str, model: Model, **more: Any) -> None:
    """The model's section as flat params; of a training in stages each stage's own, as `stage1.learning_rate`.

    Args:
        run_id: of the run that the training belongs to.
        model: its family's parameters are logged complete.
        more: further params.
    """
    tracking.log_params(run_id, {**settings_of(model), **more})


def settings_of(model: Model) -> dict[str, Any]:
    """What `log_settings` logs of a model's section, nested."""
    settings = {**model.model_dump(mode="json"), "params": checked_params(model)[1]}
    stages = settings["train"].pop("stages")
    for number, stage in enumerate(stages, 1):
        settings[f"stage{number}"] = {**stage, "optimizer": stage["optimizer"] or model.train.optimizer}
    if stages:  # what the stages take the place of, or choose for themselves, would only mislead
        for key in ("epochs", "learning_rate", "optimizer"):
            del settings["train"][key]
        settings["params"] = {key: value for key, value in settings["params"].items() if key != "trainable"}
    return settings


def log_fit(run_id: str, title: str, fit: Fit, cache: Path) -> None:
    """The history, what it says, and its picture where there are epochs to draw a curve through.

    Args:
        run_id: of the run that the training belongs to.
        title: of the picture.
        fit: how the training went.
        cache: existing folder for the picture on its way.
    """
    tracking.log_history(run_id, fit.history)
    diagnosis = diagnose_stage(fit)
    tracking.set_tags(run_id, {"darkroom.diagnosis": diagnosis.kind, "mlflow.note.content": diagnosis.sentence})
    if fit.resumed_after:
        tracking.set_tags(run_id, {"darkroom.resumed_after_epoch": str(fit.resumed_after)})
    if len(fit.history["val_loss"]) < 2:
        return
    with TemporaryDirectory(dir=cache) as folder:
        draw_curves(fit.history, fit.chosen_epoch, title + _stages(fit), Path(folder) / "curves.png")
        tracking.log_files(run_id, Path(folder))


def diagnose_stage(fit: Fit) -> Diagnosis:
    """Of the stage whose weights were kept: at the border of two stages the curves jump."""
    start = max(start for start in fit.stage_starts if start <= fit.chosen_epoch)
    end = min((later - 1 for later in fit.stage_starts if later > start), default=None)
    stage = {metric: values[start - 1 : end] for metric, values in fit.history.items()}
    judge = diagnose if "train_accuracy" in stage else diagnose_boxes
    return judge(stage, fit.chosen_epoch - start + 1)


def _stages(fit: Fit) -> str:
    """`; stage 2 from epoch 4`, or nothing."""
    return "".join(f"; stage {number} from epoch {start}" for number, start in enumerate(fit.stage_starts[1:], 2))


def measure_fit(model: Any, images: ImageSet, class_names: tuple[str, ...], fit: Fit) -> dict[str, float]:
    """Figures of the weights that were kept, by the names of `pipeline_config/metric_names.py`.

    Args:
        model: fitted.
        images: validation rows are used.
        class_names: in label order.
        fit: how the training went.
    """
    validation = predict_split(model, images, "validation", class_names)
    return {**_measure_heads(validation, fit), **describe_fit(model, fit)}


def describe_fit(model: Any, fit: Fit) -> dict[str, float]:
    """What of `measure_fit` needs no predictions."""
    return {
        "chosen_epoch": fit.chosen_epoch,
        "epochs": len(fit.history["val_loss"]),
        "fit_seconds": fit.seconds,
        "images_per_second": fit.images_seen / fit.seconds,
        "parameters": count_parameters(model),
    }


def _measure_heads(validation: pd.DataFrame, fit: Fit) -> dict[str, float]:
    """Accuracy, mean IoU, or both, and the loss: with a box head the weighted sum that the training has."""
    figures = {}
    if predictions.has_classes(validation):
        figures["chosen_val_accuracy"] = float(predictions.correct(validation).mean())
        figures["chosen_val_loss"] = predictions.log_loss(validation)
    if predictions.has_boxes(validation):
        figures["chosen_val_mean_iou"] = float(predictions.ious(validation).mean())
        figures["chosen_val_loss"] = fit.history["val_loss"][fit.chosen_epoch - 1]
    return figures
