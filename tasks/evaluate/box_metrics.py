"""Metrics of a model's boxes on the test rows, all from its predictions table."""

import pandas as pd

from tasks import predictions
from tasks.boxes import GOOD_IOU
from tasks.statistics import mean_interval

_STRICT_IOU = 0.75  # as in Lin et al., Microsoft COCO: Common Objects in Context, 2014


def box_metrics(table: pd.DataFrame) -> dict[str, float]:
    """How well the boxes lie, by the names in `pipeline_config/metric_names.py`.

    Args:
        table: of `tasks/predictions.py`, of a model with a box head; at least one row.

    Returns:
        `test_mean_iou` and the ends of its 95 % interval; `test_iou_above_50` and `test_iou_above_75`, the shares of
        rows with an IoU of at least 0.5 and 0.75. All in 0..1.
    """
    ious = predictions.ious(table)
    interval = mean_interval(ious)
    return {
        "test_mean_iou": float(ious.mean()),
        "test_mean_iou_low": interval.low,
        "test_mean_iou_high": interval.high,
        "test_iou_above_50": float((ious >= GOOD_IOU).mean()),
        "test_iou_above_75": float((ious >= _STRICT_IOU).mean()),
    }
