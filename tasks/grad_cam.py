"""Where in an image the evidence for its class lies: Grad-CAM."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.images import Pixels
from tasks.network import UnfoldedNetwork


def grad_cam(network: UnfoldedNetwork, pixels: Pixels, labels: Sequence[int]) -> npt.NDArray[np.float32]:
    """The last feature map's channels, weighted by what they add to the score of a class, positive parts.

    Selvaraju et al., Grad-CAM, 2017 (arXiv:1610.02391), equations 1 and 2. The score is the logit, as in the paper: a
    softmax that is sure of its class is flat, so that its gradient vanishes, and it falls with the other classes'
    logits, whose evidence would be mixed in. Where the head flattens the map instead of averaging it, a channel's
    weight is the mean over its places, and the map tells less exactly where the evidence lies.

    Args:
        network: with a class head.
        pixels: `(n, height, width, 3)` in 0..255.
        labels: `(n,)` class to explain of each image.

    Returns:
        `(n, rows, columns)` in 0..1, each map over its own maximum; 0 all over where nothing speaks for the class.
    """
    import tensorflow as tf

    model, dense = network.map_and_features, network.class_head.layer
    images = tf.convert_to_tensor(pixels, tf.float32)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        feature_map, features = model(images, training=False)
        score = tf.reduce_sum(_logits(dense, features) * tf.one_hot(labels, dense.units))
    weights = tf.reduce_mean(tape.gradient(score, feature_map), axis=(1, 2), keepdims=True)
    return _scaled(tf.nn.relu(tf.reduce_sum(weights * feature_map, axis=-1)).numpy())


def _logits(dense: Any, features: Any) -> Any:
    """`(n, classes)`: what the head's layer gives before its softmax."""
    import tensorflow as tf

    products = tf.matmul(features, dense.kernel)
    return products + dense.bias if dense.use_bias else products


def _scaled(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    most = maps.max(axis=(1, 2), keepdims=True)
    scaled: npt.NDArray[np.float32] = np.divide(maps, most, out=np.zeros_like(maps), where=most > 0)
    return scaled
