"""Batch normalisation by TensorFlow's fused kernel.

Keras's own computes mean, variance and scaling one after the other, and bfloat16 in float32; `FusedBatchNormV3` does
all in one pass, and takes bfloat16 with float32 statistics.
"""

from functools import cache
from typing import Any


@cache
def fused_batch_normalization() -> type[Any]:
    """A Keras layer class for feature maps, with the weights and results of BatchNormalization, and faster in training.

    It is for training alone: what is saved holds Keras's layer.
    """
    import keras

    return type("FusedBatchNormalization", (keras.layers.BatchNormalization,), {"call": _call})


def _call(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """The layer's `call` on `(batch, rows, columns, channels)`."""
    import tensorflow as tf

    if mask is not None:
        raise ValueError("a mask: expected none, since images have all their pixels")
    learns = bool(training) and layer.trainable
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=_value(layer, layer.gamma, 1.0),
        offset=_value(layer, layer.beta, 0.0),
        mean=[] if learns else layer.moving_mean.value,
        variance=[] if learns else layer.moving_variance.value,
        epsilon=layer.epsilon,
        is_training=learns,
    )
    if learns:
        _follow(layer, layer.moving_mean, mean)
        _follow(layer, layer.moving_variance, variance * _biased(inputs))
    return outputs


def _value(layer: Any, weight: Any, otherwise: float) -> Any:
    """Of a scale or offset; that of a layer without one."""
    import tensorflow as tf

    return tf.fill(layer.moving_mean.shape, otherwise) if weight is None else weight.value


def _follow(layer: Any, average: Any, of_batch: Any) -> None:
    average.assign(average * layer.momentum + of_batch * (1.0 - layer.momentum))


def _biased(inputs: Any) -> Any:
    """The kernel's variance has n - 1 below the line, Keras's moving variance n."""
    import tensorflow as tf

    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    return (count - 1) / count
