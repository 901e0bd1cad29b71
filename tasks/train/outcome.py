"""What a training leaves in its run: curves, and figures of the weights that were kept."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks import predictions, tracking
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.train.curves import draw_curves
from tasks.train.fit import Fit
from tasks.train.registry import count_parameters


def log_fit(run_id: str, title: str, fit: Fit, cache: Path) -> None:
    """The history, and its picture where there are epochs to draw a curve through.

    Args:
        run_id: of the run that the training belongs to.
        title: of the picture.
        fit: how the training went.
        cache: existing folder for the picture on its way.
    """
    tracking.log_history(run_id, fit.history)
    if len(fit.history["val_loss"]) < 2:
        return
    with TemporaryDirectory(dir=cache) as folder:
        draw_curves(fit.history, fit.chosen_epoch, title, Path(folder) / "curves.png")
        tracking.log_files(run_id, Path(folder))


def measure_fit(model: Any, images: ImageSet, class_names: tuple[str, ...], fit: Fit) -> dict[str, float]:
    """Figures of the weights that were kept, by the names of `pipeline_config/metric_names.py`.

    Args:
        model: fitted.
        images: validation rows are used.
        class_names: in label order.
        fit: how the training went.
    """
    validation = predict_split(model, images, "validation", class_names)
    return {
        "chosen_epoch": fit.chosen_epoch,
        "chosen_val_accuracy": float(predictions.correct(validation).mean()),
        "chosen_val_loss": predictions.log_loss(validation),
        "fit_seconds": fit.seconds,
        "images_per_second": fit.images_seen / fit.seconds,
        "parameters": count_parameters(model),
    }
