"""Optimizers by their names."""

from functools import partial
from typing import Any

from pipeline_config.experiment import Train


def make_optimizer(train: Train) -> Any:
    """A fresh Keras optimizer; its learning rate is set anew before every step, see `schedules.py`.

    Weight decay is decoupled from the gradient (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019).
    """
    import keras

    optimizers = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
    }
    return optimizers[train.optimizer](train.learning_rate, weight_decay=train.weight_decay or None)
