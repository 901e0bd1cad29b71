"""Smooth activations in one pass over a feature map.

TensorFlow computes GELU and SiLU on a CPU by a row of operations, each of which reads and writes the whole map; their
slopes too. XLA makes one loop of each, which takes about as long as ReLU; within it all is float32, since rounding what
lies between to bfloat16 takes twice as long.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

COMPILED = ("gelu", "silu")
"""Names of Keras's activations."""


@cache
def compiled(name: str) -> Callable[[Any], Any]:
    """The activation of that name and its slope, each compiled by XLA; of the map only the input is kept for it."""
    import keras
    import tensorflow as tf

    function = keras.activations.get(name)

    def activation(inputs: Any) -> Any:
        return tf.cast(function(tf.cast(inputs, tf.float32)), inputs.dtype)

    def of_slope(inputs: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = activation(inputs)
        return tape.gradient(outputs, inputs, output_gradients=upstream)

    value, slope = (tf.function(compute, jit_compile=True, autograph=False) for compute in (activation, of_slope))

    def with_slope(inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
        return value(inputs), lambda upstream: slope(inputs, upstream)

    differentiable: Callable[[Any], Any] = tf.custom_gradient(with_slope)
    return differentiable
