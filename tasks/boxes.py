"""Boxes in arrays: x and y of the top-left corner, width, height, all in fractions of the image."""

from typing import Any

import numpy as np

GOOD_IOU = 0.5
"""From this IoU on a box counts as found (Everingham et al., The Pascal Visual Object Classes Challenge, 2010)."""

_SMALLEST_AREA = 1e-9  # two boxes without area have an IoU of 0 and not of 0 over 0


def iou(first: Any, second: Any, ops: Any = np) -> Any:
    """Intersection over union of boxes, pair by pair (Jaccard 1912).

    Args:
        first, second: `(..., 4)`, fractions of the image.
        ops: `numpy` for arrays, `keras.ops` for tensors of a graph.

    Returns:
        `(...)` in 0..1; 1 where both are the same box, NaN where either has a NaN.
    """
    wide = _overlap(first[..., 0], first[..., 2], second[..., 0], second[..., 2], ops)
    high = _overlap(first[..., 1], first[..., 3], second[..., 1], second[..., 3], ops)
    shared = wide * high
    union = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3] - shared
    # The areas are rounded in another way than what is shared of them: 1 may be passed by a hair.
    return ops.minimum(shared / ops.maximum(union, _SMALLEST_AREA), 1.0)


def _overlap(first: Any, first_length: Any, second: Any, second_length: Any, ops: Any) -> Any:
    """Length that two stretches along one axis share."""
    end = ops.minimum(first + first_length, second + second_length)
    return ops.maximum(end - ops.maximum(first, second), 0.0)
