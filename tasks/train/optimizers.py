"""Optimizers by their names."""

from functools import partial
from typing import Any

from pipeline_config.experiment import Train
from tasks.train import muon
from tasks.train.compute.adam import fuse


def make_optimizer(train: Train, *, jit: bool = False) -> Any:
    """A fresh Keras optimizer; its learning rate is set anew before every step, see `schedules.py`.

    Weight decay is decoupled from the gradient (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019).
    `bias_rate` is airbench94's `bias_scaler` (Jordan 2024, arXiv:2404.00498).

    Args:
        train: its name and settings.
        jit: XLA compiles the step; it fuses Adam's operations by itself.
    """
    import keras

    optimizers = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
        "muon": partial(keras.optimizers.SGD, momentum=muon.MOMENTUM, nesterov=True),
    }
    optimizer = optimizers[train.optimizer](train.learning_rate, weight_decay=train.weight_decay or None)
    if train.optimizer == "adam" and not jit:
        fuse(optimizer)
    if train.optimizer == "muon":
        muon.turn_kernels(optimizer, train.kernel_rate)
    if train.bias_rate != 1:
        _hurry_biases(optimizer, train.bias_rate)
    return optimizer


def _hurry_biases(optimizer: Any, factor: float) -> None:
    """Let biases, and batch normalisation's offsets, learn at so many times the rate of all else."""
    update = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        # TensorFlow's own variable, whose name ends with Keras's; on a second GPU it is beta/replica_1:0.
        is_bias = variable.name.partition(":")[0].partition("/replica_")[0].endswith(("beta", "bias"))
        update(gradient, variable, learning_rate * factor if is_bias else learning_rate)

    optimizer.update_step = update_step
