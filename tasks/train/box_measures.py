"""The loss of a box head, and its IoU as a metric of every epoch."""

from typing import Any

from tasks.boxes import iou

_SMALLEST_AREA = 1e-7  # of float32, as Keras's epsilon


def giou_loss(true: Any, predicted: Any) -> Any:
    """1 - IoU + the share of the smallest box around both that neither covers.

    Generalised IoU (Rezatofighi et al. 2019): unlike squared error it is near the metric that counts and does not hang
    on the boxes' sizes, and unlike 1 - IoU it has a slope where the boxes are apart.

    Args:
        true, predicted: `(batch, 4)` x, y, width, height in fractions of the image.

    Returns:
        `(batch,)` in 0..2; 0 for equal boxes.
    """
    from keras import ops

    first, second = ops.convert_to_tensor(true), ops.convert_to_tensor(predicted)
    shared = iou(first, second, ops)
    wide, high = (_hull(first, second, axis, ops) for axis in (0, 1))
    hull = ops.maximum(wide * high, _SMALLEST_AREA)
    areas = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3]
    union = areas / (1 + shared)  # since shared = (areas - union) / union
    return 1 - shared + (hull - union) / hull


def _hull(first: Any, second: Any, axis: int, ops: Any) -> Any:
    """Side of the smallest box that holds both."""
    start = ops.minimum(first[..., axis], second[..., axis])
    end = ops.maximum(first[..., axis] + first[..., axis + 2], second[..., axis] + second[..., axis + 2])
    return end - start


def mean_iou(true: Any, predicted: Any) -> Any:
    """`(batch,)` IoU, of which Keras takes the mean over an epoch."""
    from keras import ops

    return iou(ops.convert_to_tensor(true), ops.convert_to_tensor(predicted), ops)
