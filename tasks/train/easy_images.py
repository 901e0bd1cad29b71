"""Epochs that leave out images which the network has learned already.

An image of low loss teaches little and costs as much as any other: Jiang et al., Accelerating Deep Learning by Focusing
on the Biggest Losers, 2019 (arXiv:1910.00762). As in Qin et al., InfoBatch, 2024 (arXiv:2303.04947), the losses are
those of the epoch in which an image was last trained on, which cost nothing, some easy images stay by chance, and the
last epochs have all images; unlike there, those that stay weigh no more than others.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_config.experiment import Train

Losses = npt.NDArray[np.float32]
"""Of every training image when it was last trained on; infinite before."""

_WHOLE_FIRST = 2  # epochs, before which losses tell little
_WHOLE_LAST = 0.15  # share of the epochs
_LEFT_OUT = 0.7  # of the easiest, so that none is left out for long


def unseen(images: int) -> Losses:
    """Of images of which none was trained on."""
    return np.full(images, np.inf, np.float32)


def count_kept(train: Train, images: int, epoch: int) -> int:
    """How many images an epoch trains on.

    Args:
        train: settings of one stage.
        images: of an epoch that leaves none out.
        epoch: of the stage, from 0.
    """
    is_whole = epoch < _WHOLE_FIRST or epoch >= train.epochs - math.ceil(_WHOLE_LAST * train.epochs)
    return images if is_whole else images - math.floor(train.skip_easy * images)


def draw_kept(losses: Losses, count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Which images an epoch trains on, ascending.

    Args:
        losses: of all.
        count: of those that are trained on.
        seed, epoch: decide which of the easiest are left out.
    """
    left_out = len(losses) - count
    easiest = np.argsort(losses, kind="stable")[: min(math.ceil(left_out / _LEFT_OUT), len(losses))]
    drawn = np.random.default_rng([seed, epoch, 1]).choice(easiest, left_out, replace=False)
    return np.delete(np.arange(len(losses)), drawn)


def watch_losses(network: Any, batch_size: int) -> Any:
    """Have a compiled network keep the losses of the images of its last training batch.

    Args:
        network: a Keras model of probabilities.
        batch_size: of the largest batch.

    Returns:
        A TensorFlow variable `(batch_size,)`, of which as many are of the last batch as that had images.
    """
    import keras
    import tensorflow as tf

    last = tf.Variable(tf.zeros(batch_size), trainable=False)
    of_batch = network.compute_loss

    def compute_loss(x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        if training:
            losses = keras.losses.categorical_crossentropy(y, y_pred)
            last[: tf.shape(losses)[0]].assign(losses)
        return of_batch(x, y, y_pred, sample_weight, training=training)

    network.compute_loss = compute_loss
    return last
