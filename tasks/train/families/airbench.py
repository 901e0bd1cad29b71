"""A network for few epochs, in the manner of airbench94 (recipe R4's images, CIFAR-10).

Keller Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (arXiv:2404.00498), which builds on Page, How to
Train Your ResNet, 2019. Its first convolution whitens patches of the image by a fixed kernel, and its other
convolutions begin as the identity; with a high learning rate, a triangular schedule and smoothed labels it then needs
ten epochs.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline_config.errors import ConfigurationError
from tasks.train.layers import Widths, raw_pixels

SMALLEST = {"filters": (4,)}

_PATCH = 2  # pixels to a side
_EPSILON = 5e-4  # of the variances of whitened patches (the published code's `eps`)
_LOGITS_SCALE = 1 / 9  # the published `scaling_factor`
_MOMENTUM = 0.6  # of the moving averages, in Keras's meaning: what stays of the old ones (the published value)


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    filters: Annotated[Widths, Field(min_length=1)] = (64, 256, 256),
) -> Any:
    """A Keras model from raw pixels to probabilities, whose first convolution is at random until `adapt` sets it.

    Args:
        input_shape: height, width, 3; images of other sizes are resized to it in the graph.
        num_outputs: number of classes.
        filters: of each stage's two 3×3 convolutions; a 2×2 max-pooling follows the first of them. The last stage's
            feature map becomes a vector by its channels' maxima, so that any size of image will do.

    Raises:
        ConfigurationError: more stages than the image can be halved.
    """
    import keras
    from keras import layers

    _check_size(input_shape, len(filters))
    pixels, x = raw_pixels(input_shape)
    # In float32 always: in bfloat16 the direction of least variance, which is enlarged most, has a quarter of noise.
    whitening = layers.Conv2D(2 * 3 * _PATCH**2, _PATCH, dtype="float32", name="whitening")
    x = layers.Activation("gelu")(whitening(x))
    whitening.kernel.trainable = False  # its bias is learned, as in the published code
    for width in filters:
        x = _activated(layers.MaxPooling2D()(_convolved(x, width)))
        x = _activated(_convolved(x, width))
    features = layers.Rescaling(_LOGITS_SCALE, name="logits_scale")(layers.GlobalMaxPooling2D()(x))
    head = layers.Dense(
        num_outputs, activation="softmax", use_bias=False, kernel_initializer=_initializer(), name="probabilities"
    )
    return keras.Model(pixels, head(features), name="airbench")


def adapt(network: Any, pixels: npt.NDArray[np.uint8]) -> None:
    """Set the first convolution, whose kernel is not trained, to whiten the patches of these images.

    Args:
        network: of `build`.
        pixels: `(n, height, width, 3)` uint8 training images in the network's size; some thousand will do.
    """
    network.get_layer("whitening").set_weights(whitening_weights(pixels))


def whitening_weights(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """Kernel `(2, 2, 3, 24)` and bias `(24,)` of a convolution over pixels in 0..1 that whitens 2×2 patches.

    Of each eigenvector of the patches' covariance, over the root of its eigenvalue, there is a filter and its negative.
    As in the paper, channels are first brought to mean 0 and variance 1, and patches are not centred any further.
    """
    shades = pixels.reshape(-1, 3) / np.float32(255)
    mean, deviation = shades.mean(axis=0, dtype=np.float64), shades.std(axis=0, dtype=np.float64)
    deviation = np.maximum(deviation, 1 / 255)  # of a channel without any
    covariance = np.mean([_covariance((image / 255 - mean) / deviation) for image in pixels], axis=0)
    variances, vectors = np.linalg.eigh(covariance)
    filters = (vectors / np.sqrt(variances + _EPSILON))[:, ::-1].reshape(_PATCH, _PATCH, 3, -1)
    kernel = np.concatenate([filters, -filters], axis=-1) / deviation[:, None]
    bias = -np.einsum("yxci,c->i", kernel, mean)
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def _covariance(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`(12, 12)` of an image's patches, whose values are in the order of a kernel's: row, column, channel."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (_PATCH, _PATCH), axis=(0, 1))
    patches = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 3 * _PATCH**2)
    return patches.T @ patches / len(patches)


def _convolved(x: Any, width: int) -> Any:
    """3×3 same convolution that hands on its input's channels, as far as it has filters for them (Dirac).

    Its filters keep their length, which batch normalisation takes away again: what a step turns them by then hangs on
    the learning rate alone.
    """
    from keras import constraints, layers

    unit = constraints.UnitNorm(axis=(0, 1, 2))
    convolution = layers.Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer=_initializer(), kernel_constraint=unit
    )
    y = convolution(x)
    kernel = convolution.get_weights()[0]
    handed_on = np.arange(min(kernel.shape[2:]))
    kernel[:, :, :, handed_on] = 0
    kernel[1, 1, handed_on, handed_on] = 1
    # Set afterwards: with an initializer of ours the saved network would load only where this project is installed.
    convolution.set_weights([kernel])
    return y


def _activated(x: Any) -> Any:
    """Batch normalisation without a scale of its own, GELU."""
    from keras import layers

    return layers.Activation("gelu")(layers.BatchNormalization(momentum=_MOMENTUM, scale=False)(x))


def _initializer() -> Any:
    """PyTorch's default, with which the recipe was tuned: uniform in ±1/sqrt(inputs of a filter)."""
    from keras import initializers

    return initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def _check_size(input_shape: tuple[int, int, int], stages: int) -> None:
    """Refuse more stages than the image's shorter side can be halved, after the whitening has taken a pixel of it."""
    side, needed = min(input_shape[:2]), 2**stages + _PATCH - 1
    if side < needed:
        raise ConfigurationError(
            f"params.filters: {stages} stages halve the image so often that it needs {needed} pixels a side; "
            f"received {side}; give fewer stages or a larger dataset.image_size"
        )
