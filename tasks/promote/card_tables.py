"""The tables of a model card, as rows of plain words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import manifest as manifests
from tasks import predictions

_OF_TEST_ROWS = (
    ("accuracy", "test_accuracy", "{:.4f}"),
    ("macro F1", "test_macro_f1", "{:.4f}"),
    ("recall of the worst class", "test_worst_class_recall", "{:.4f}"),
    ("top-5 accuracy", "test_top5_accuracy", "{:.4f}"),
    ("ROC AUC, macro average", "test_roc_auc", "{:.4f}"),
    ("log loss, nats", "test_loss", "{:.4f}"),
    ("expected calibration error", "test_ece", "{:.4f}"),
    ("Brier score, 0..2", "test_brier", "{:.4f}"),
    ("mean IoU of the boxes", "test_mean_iou", "{:.4f}"),
    ("boxes with an IoU of at least 0.5", "test_iou_above_50", "{:.4f}"),
)
_OF_OUTSIDE = (("accuracy on outside images", "outside_accuracy", "{:.4f}"),)
_COSTS = (
    ("milliseconds per image, in batches", "predict_ms_per_image", "{:.2f}"),
    ("milliseconds for one image", "predict_ms_batch1", "{:.2f}"),
    ("parameters", "parameters", "{:,.0f}"),
    ("bytes of the model's files", "model_bytes", "{:,.0f}"),
    ("seconds of the training", "fit_seconds", "{:.1f}"),
)


class Metric(NamedTuple):
    """A row of the metrics; `interval` is empty where none is known."""

    name: str
    value: str
    interval: str


class ClassRow(NamedTuple):
    """A row of the classes; the images of a split are None where the manifest is gone."""

    name: str
    train: int | None
    validation: int | None
    test: int
    recall: float
    precision: float
    f1: float


def metric_rows(metrics: Mapping[str, float]) -> list[Metric]:
    """The headline metrics that were measured, with their 95 % intervals, then what the model costs."""
    shown = [entry for entry in (*_OF_TEST_ROWS, *_OF_OUTSIDE, *_COSTS) if entry[1] in metrics]
    return [Metric(name, form.format(metrics[key]), _interval(metrics, key, form)) for name, key, form in shown]


def _interval(metrics: Mapping[str, float], key: str, form: str) -> str:
    ends = [metrics.get(f"{key}{end}", np.nan) for end in ("_low", "_high")]
    return "" if np.isnan(ends).any() else " to ".join(form.format(end) for end in ends)


def split_counts(manifest: pd.DataFrame) -> dict[str, int]:
    """Usable images of each split, and those that are quarantined."""
    counts = manifests.usable(manifest)["split"].value_counts()
    quarantined = int((manifest["status"] != "ok").sum())
    return {split: int(counts.get(split, 0)) for split in manifests.SPLITS} | {"quarantined": quarantined}


def class_rows(table: pd.DataFrame, manifest: pd.DataFrame | None) -> list[ClassRow]:
    """Recall, precision and F1 of each class on the test rows, in label order; a share of nothing is 0.

    Args:
        table: of `tasks/predictions.py`; without a class head there is no row.
        manifest: for the images of each split, or None.
    """
    names = predictions.class_names(table)
    counts = confusions(table)
    right, support, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    scores = [right / np.maximum(support, 1), right / np.maximum(said, 1), 2 * right / np.maximum(support + said, 1)]
    train, validation = (_images(manifest, split, names) for split in ("train", "validation"))
    columns = (names, train, validation, support.tolist(), *(score.tolist() for score in scores))
    return [ClassRow(*row) for row in zip(*columns, strict=True)]


def _images(manifest: pd.DataFrame | None, split: str, names: Sequence[str]) -> list[int | None]:
    """Images of each class in a split."""
    if manifest is None:
        return [None] * len(names)
    counts = manifests.usable(manifest, split)["class_name"].value_counts()
    return [int(counts.get(name, 0)) for name in names]


def confusions(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """`(classes, classes)` counts of test rows: row = true label, column = predicted label."""
    size = len(predictions.class_names(table))
    counts = np.zeros((size, size), dtype=np.int64)
    if size:
        np.add.at(counts, (predictions.labels(table), predictions.predicted(table)), 1)
    return counts
