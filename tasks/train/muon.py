"""Muon: a step turns a convolution's kernel in all directions alike.

The step is the momentum with its singular values brought near to 1: Jordan et al., Muon: An optimizer for hidden layers
in neural networks, 2024 (kellerjordan.github.io/posts/muon). The constants are those of its record for CIFAR-10,
airbench94_muon (github.com/KellerJordan/cifar10-airbench).
"""

from typing import Any

from tasks.train.compute.processor import this_processor

MOMENTUM = 0.85
"""Of what Muon is not for, which has plain steps with Nesterov's momentum."""

_KERNEL_MOMENTUM = 0.6
_ITERATIONS = 3
_QUINTIC = (3.4445, -4.7750, 2.0315)  # of X, X Xᵀ X and (X Xᵀ)² X


def turn_kernels(sgd: Any, kernel_rate: float) -> None:
    """Let a `keras.optimizers.SGD` take the steps of convolutions' kernels so.

    It stays Keras's, with the same variables: what is saved of it loads without this project.

    Args:
        sgd: fresh, with momentum.
        kernel_rate: learning rate of the kernels, in times of all others'.
    """
    plain_step = sgd.update_step
    dtype = "float32" if this_processor().without_bfloat16 else "bfloat16"

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        if _is_kernel(variable):
            momentum = sgd.momentums[sgd._get_variable_index(variable)]
            momentum.assign(_KERNEL_MOMENTUM * momentum + gradient)
            ahead = gradient + _KERNEL_MOMENTUM * momentum  # Nesterov's
            variable.assign_sub(kernel_rate * learning_rate * _turned(ahead, dtype))
        else:
            plain_step(gradient, variable, learning_rate)

    sgd.update_step = update_step


def _is_kernel(variable: Any) -> bool:
    """Of a convolution that has several filters; a depthwise one's does not mix channels."""
    return len(variable.shape) == 4 and variable.shape[-1] > 1


def _turned(kernel: Any, dtype: str) -> Any:
    """`(height, width, channels, filters)` as a matrix of inputs by filters, made orthogonal."""
    import tensorflow as tf

    return tf.reshape(orthogonalised(tf.reshape(kernel, (-1, kernel.shape[-1])), dtype), kernel.shape)


def orthogonalised(matrix: Any, dtype: str) -> Any:
    """The matrix with singular values of some 0.7 to 1.2, by Newton-Schulz iterations.

    Args:
        matrix: float32, of any scale but 0.
        dtype: in which matrices are multiplied; bfloat16 will do, as published.

    Returns:
        float32.
    """
    import tensorflow as tf

    is_tall = matrix.shape[0] > matrix.shape[1]
    x = tf.cast(matrix / (tf.norm(matrix) + 1e-7), dtype)
    linear, cubic, quintic = _QUINTIC
    for _ in range(_ITERATIONS):
        square = tf.matmul(x, x, transpose_a=True) if is_tall else tf.matmul(x, x, transpose_b=True)
        polynomial = cubic * square + quintic * tf.matmul(square, square)
        x = linear * x + (tf.matmul(x, polynomial) if is_tall else tf.matmul(polynomial, x))
    return tf.cast(x, tf.float32)
