"""Weight gradients of convolutions over small feature maps.

oneDNN's kernel for the weight gradient of a bfloat16 convolution reaches half the rate of its forward kernel on maps of
8×8 and smaller. The gradient is itself a convolution, whose images are the input's channels, whose channels are the
input's images, and whose kernel is the gradient of the output, and so may be had from the forward kernel.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from tasks.train.layer_graph.calls import layers_of

SMALL = 8
"""Longest side of a map for which this was seen to pay; on maps of 16×16 it takes longer."""

_AT_ONCE = 128
"""Images whose gradients are computed together; those of many more find no place in the processor's cache."""


@cache
def small_map_convolution() -> type[Any]:
    """A Keras layer class with the weights and results of Conv2D, for those of which `is_for` is true.

    It is for training alone: what is saved holds Keras's layer.
    """
    import keras

    return type("SmallMapConvolution", (keras.layers.Conv2D,), {"convolution_op": _convolution_op})


def has_small_maps(network: Any) -> bool:
    """Whether a network trains such convolutions."""
    return any(layer.trainable_weights and is_for(layer) for layer in layers_of(network))


def is_for(layer: Any) -> bool:
    """Whether it is a plain convolution, by more than a point, whose maps are small and keep their size."""
    if type(layer).__name__ != "Conv2D" or layer.data_format != "channels_last":
        return False
    sides = layer.output.shape[1:3]
    keeps_size = layer.padding == "same" and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    is_plain = layer.groups == 1 and layer.kernel_size != (1, 1)  # whose gradient is a product of matrices anyway
    return keeps_size and is_plain and all(side and side <= SMALL for side in sides)


def _convolution_op(_: Any, inputs: Any, kernel: Any) -> Any:
    import tensorflow as tf

    return _with_weight_gradient()(inputs, tf.convert_to_tensor(kernel))  # a gradient of our own is for tensors alone


@cache
def _with_weight_gradient() -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    def convolve(inputs: Any, kernel: Any) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            of_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, strides=[1] * 4, padding="SAME"
            )
            of_kernel = weight_gradient(inputs, upstream, *kernel.shape[:2])
            return of_inputs, tf.cast(of_kernel, kernel.dtype)

        return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradients

    differentiable: Callable[[Any, Any], Any] = tf.custom_gradient(convolve)
    return differentiable


def weight_gradient(inputs: Any, upstream: Any, height: int, width: int) -> Any:
    """Of a convolution without strides whose output is as large as its input.

    Args:
        inputs: `(batch, rows, columns, channels)`.
        upstream: `(batch, rows, columns, filters)`, the loss's gradient by the output.
        height, width: of the kernel.

    Returns:
        `(height, width, channels, filters)` float32, the loss's gradient by the kernel.
    """
    import tensorflow as tf

    count = tf.shape(inputs)[0]
    padding = [[0, 0], _same(height), _same(width), [0, 0]]

    def add_part(start: Any, total: Any) -> tuple[Any, Any]:
        part = slice(start, start + _AT_ONCE)
        channels_as_images = tf.transpose(inputs[part], (3, 1, 2, 0))
        upstream_as_kernel = tf.transpose(upstream[part], (1, 2, 0, 3))
        gradient = tf.nn.conv2d(channels_as_images, upstream_as_kernel, 1, padding)
        return start + _AT_ONCE, total + tf.cast(gradient, tf.float32)

    nothing = tf.zeros((inputs.shape[3], height, width, upstream.shape[3]))
    _, total = tf.while_loop(lambda start, _: start < count, add_part, (0, nothing), parallel_iterations=1)
    return tf.transpose(total, (1, 2, 0, 3))


def _same(side: int) -> list[int]:
    """Places before and after that Keras's `same` adds for a kernel of this side."""
    return [(side - 1) // 2, side // 2]
