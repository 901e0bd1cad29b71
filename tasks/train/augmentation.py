"""Random changes of training images, a whole batch at once: one projective transform does rotation, shift and flip."""

import math
from typing import Any

from pipeline_config.experiment import Augmentation


def augment_with(settings: Augmentation) -> Any:
    """A function of batches and seed for `training_batches`: uint8 in, uint8 out, labels untouched.

    What is moved in from outside the image is the nearest edge pixel. Every image of every batch of every epoch is
    changed anew, reproducibly by the seed.
    """

    def augment(batches: Any, seed: int) -> Any:
        def change(step: Any, batch: tuple[Any, Any]) -> tuple[Any, Any]:
            pixels, labels = batch
            return _transformed(pixels, _transforms(pixels, settings, (seed, step))), labels

        return batches.enumerate().map(change)

    return augment


def _transforms(pixels: Any, settings: Augmentation, seed: tuple[int, Any]) -> Any:
    """`(batch, 8)` rows `a0 a1 a2 b0 b1 b2 0 0`: pixel (x, y) is taken from (a0 x + a1 y + a2, b0 x + b1 y + b2)."""
    import tensorflow as tf

    shape = tf.shape(pixels)
    count, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draws = tf.random.stateless_uniform(
        (4, count), seed=tf.stack([tf.cast(part, tf.int64) for part in seed]), minval=-1
    )
    angle = draws[0] * math.radians(settings.rotation)
    shift_x, shift_y = draws[1] * settings.width_shift * width, draws[2] * settings.height_shift * height
    mirror = tf.where(draws[3] < 0, -1.0, 1.0) if settings.horizontal_flip else tf.ones_like(angle)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    # About the image's centre: mirror, then rotate, then shift.
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    a0, a1, b0, b1 = mirror * cosine, -mirror * sine, sine, cosine
    a2 = centre_x - a0 * centre_x - a1 * centre_y + shift_x
    b2 = centre_y - b0 * centre_x - b1 * centre_y + shift_y
    zero = tf.zeros_like(angle)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def _transformed(pixels: Any, transforms: Any) -> Any:
    import tensorflow as tf

    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.shape(pixels)[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
