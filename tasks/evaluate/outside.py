"""How a model does on images from outside the data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tasks import predictions
from tasks.evaluate.outside_gallery import draw_outside
from tasks.evaluate.outside_images import SPLIT
from tasks.input_pipeline import open_image_set, read_pixels
from tasks.prediction import predict_split
from tasks.records import Manifest
from tasks.statistics import accuracy_interval


def evaluate_outside(
    model: Any, outside: Manifest, cache: Path, folder: Path, title: str, test_metrics: Mapping[str, float]
) -> dict[str, float]:
    """Predict the outside images in one pass; write `outside_predictions.parquet` and `outside.png`.

    A model without a class head is not asked: the images' folders tell classes alone.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels.
        outside: of `make_outside_manifest`.
        cache: where the decoded images are kept.
        folder: for the files.
        title: names the model in the picture.
        test_metrics: of `metrics.test_metrics`, of the same model.

    Returns:
        The metrics of `outside_metrics`; none of a model without a class head.
    """
    if "test_accuracy" not in test_metrics:
        return {}
    table = predict_split(model, open_image_set(outside, cache), SPLIT, outside.class_names)
    metrics = outside_metrics(table, test_metrics["test_accuracy"])
    predictions.write(table, folder / "outside_predictions.parquet")
    draw_outside(table, read_pixels(outside), folder / "outside.png", f"{title}: {_headline(metrics, len(table))}")
    return metrics


def outside_metrics(table: pd.DataFrame, test_accuracy: float) -> dict[str, float]:
    """`outside_accuracy`, the ends of its 95 % interval, and `outside_gap`, by how much the test accuracy is higher.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; at least one row.
        test_accuracy: on the data set's own test rows, 0..1.
    """
    correct = predictions.correct(table)
    interval = accuracy_interval(correct)
    accuracy = float(correct.mean())
    return {
        "outside_accuracy": accuracy,
        "outside_accuracy_low": interval.low,
        "outside_accuracy_high": interval.high,
        "outside_gap": test_accuracy - accuracy,
    }


def _headline(metrics: Mapping[str, float], rows: int) -> str:
    accuracy, low, high = (metrics[f"outside_accuracy{end}"] for end in ("", "_low", "_high"))
    images = "1 image" if rows == 1 else f"{rows:,} images"
    return f"accuracy {accuracy:.1%} (95% interval {low:.1%} to {high:.1%}) on {images} from outside the data set"
