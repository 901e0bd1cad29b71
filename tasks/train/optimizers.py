"""Optimizers by their names."""

from typing import Any

from pipeline_config.experiment import Train


def make_optimizer(train: Train) -> Any:
    """A fresh Keras optimizer; its learning rate is set anew before every step, see `schedules.py`."""
    import keras

    optimizers = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    }
    return optimizers[train.optimizer](train.learning_rate)
