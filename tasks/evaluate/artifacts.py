"""The folder `evaluation/` of a run: every file from one predictions table."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.box_gallery import draw_boxes
from tasks.evaluate.confusion_matrix import draw_confusion_matrix
from tasks.evaluate.metrics import classification_report, confusion_counts, test_metrics
from tasks.evaluate.pictures import draw_pictures
from tasks.evaluate.text_report import matrix_text, report_text
from tasks.evaluate.wording import rows_in_words
from tasks.files import write_whole


def write_evaluation(
    table: pd.DataFrame, read_pixels: Callable[[str], npt.NDArray[np.uint8]], folder: Path, title: str
) -> dict[str, float]:
    """Write predictions and metrics of one model, and what its heads make sense of.

    Of classes that is report, confusion matrices and the pictures of `draw_pictures`, of boxes a picture of some.

    Args:
        table: of `tasks/predictions.py`, at least one row.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`.
        folder: made if need be; files of these names in it are replaced.
        title: names the model in the pictures.

    Returns:
        The metrics of `metrics.test_metrics`.

    Raises:
        ValueError: the table has no rows.
    """
    metrics = test_metrics(table)
    predictions.write(table, folder / "predictions.parquet")
    _write_text(folder / "metrics.json", _as_json(metrics))
    if predictions.has_classes(table):
        _write_report(table, folder)
        _write_confusion(table, folder, f"{title}: {_headline(metrics, 'accuracy', len(table))}")
        draw_pictures(table, read_pixels, folder, title)
    if predictions.has_boxes(table):
        draw_boxes(table, read_pixels, folder / "boxes.png", f"{title}: {_headline(metrics, 'mean_iou', len(table))}")
    return metrics


def _write_report(table: pd.DataFrame, folder: Path) -> None:
    report = classification_report(table)
    _write_text(folder / "classification_report.csv", report.to_csv())
    _write_text(folder / "classification_report.txt", report_text(report))


def _write_confusion(table: pd.DataFrame, folder: Path, title: str) -> None:
    names, counts = predictions.class_names(table), confusion_counts(table)
    frame = pd.DataFrame(counts, index=pd.Index(names, name="true"), columns=names)
    _write_text(folder / "confusion_matrix.csv", frame.to_csv())
    _write_text(folder / "confusion_matrix.txt", matrix_text(counts, names))
    draw_confusion_matrix(counts, names, folder / "confusion_matrix.png", normalised=False, title=title)
    draw_confusion_matrix(counts, names, folder / "confusion_matrix_normalised.png", normalised=True, title=title)


def _headline(metrics: dict[str, float], metric: str, rows: int) -> str:
    value, low, high = (metrics[f"test_{metric}{end}"] for end in ("", "_low", "_high"))
    name, form = {"accuracy": ("accuracy", ".1%"), "mean_iou": ("mean IoU", ".3f")}[metric]
    return f"{name} {value:{form}} (95% interval {low:{form}} to {high:{form}}) on {rows_in_words(rows)}"


def _as_json(metrics: dict[str, float]) -> str:
    """The metrics as JSON, which has no NaN: null stands for it."""
    return json.dumps({name: value if math.isfinite(value) else None for name, value in metrics.items()}, indent=2)


def _write_text(path: Path, text: str) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
