"""Adam by TensorFlow's fused kernel.

Keras's own goes over all weights some ten times, and over what it keeps of each; `ResourceApplyAdam` does all in one
pass.
"""

from typing import Any


def fuse(adam: Any) -> None:
    """Let a `keras.optimizers.Adam` take its steps by the kernel.

    It stays Keras's, with the same variables and, but for rounding, the same results (Kingma and Ba 2015,
    arXiv:1412.6980, the formula before section 2.1): what is saved of it loads without this project. The kernel takes
    1 - beta from float32's nearest number to beta, and so 1.3e-5 of 0.001 less.

    Args:
        adam: fresh, and without AMSGrad, which the kernel does not know.
    """

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        _apply(adam, gradient, variable, learning_rate)

    adam.update_step = update_step


def _apply(adam: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """One step of one of TensorFlow's variables."""
    import tensorflow as tf

    number = adam._get_variable_index(variable)
    steps = tf.cast(adam.iterations.value + 1, variable.dtype)
    beta_1, beta_2, epsilon = (tf.constant(each, variable.dtype) for each in (adam.beta_1, adam.beta_2, adam.epsilon))
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=adam._momentums[number].value.handle,
        v=adam._velocities[number].value.handle,
        beta1_power=beta_1**steps,
        beta2_power=beta_2**steps,
        lr=tf.cast(learning_rate, variable.dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=tf.cast(gradient, variable.dtype),
    )
