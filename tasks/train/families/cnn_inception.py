"""Three stages with an inception block after the second (recipe R6b: CIFAR-10, 0.64 reported, not converged).

The block is that of Szegedy et al., Going Deeper with Convolutions, 2015, with a 2×2 pooling. A stage is a convolution,
a max-pooling and batch normalisation, as in `cnn_batchnorm` with `normalisation: after_pooling` (recipe R6a).
"""

from typing import Annotated, Any

from pydantic import Field

from tasks.train.layers import Widths, batch_normalised, check_poolings, classifier, raw_pixels

SMALLEST = {"filters": (4, 8)}

_PATHS = 4


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    filters: Annotated[Widths, Field(min_length=2)] = (256, 256, 256),
) -> Any:
    """A Keras model from raw pixels to probabilities.

    Args:
        input_shape: height, width, 3; images of other sizes are resized to it in the graph.
        num_outputs: number of classes.
        filters: of each stage's 3×3 same ReLU convolution; one stage each, at least two. The inception block has a
            quarter of the second stage's on each of its four paths, so that it hands on as many channels as it gets.

    Raises:
        ConfigurationError: more stages than the image can be halved.
    """
    import keras
    from keras import layers

    check_poolings(input_shape, len(filters))
    pixels, x = raw_pixels(input_shape)
    for stage, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = batch_normalised(layers.MaxPooling2D()(x))
        if stage == 2:
            x = _inception(x, max(1, width // _PATHS))
    return keras.Model(pixels, classifier(x, num_outputs, (), 0.0), name="cnn_inception")


def _inception(x: Any, width: int) -> Any:
    """1×1; 1×1 then 3×3; 1×1 then 5×5; 2×2 max-pooling then 1×1: each of `width` channels, concatenated."""
    from keras import layers

    def convolved(x: Any, side: int) -> Any:
        return layers.Conv2D(width, side, padding="same", activation="relu")(x)

    pooled = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    paths = [convolved(x, 1), convolved(convolved(x, 1), 3), convolved(convolved(x, 1), 5), convolved(pooled, 1)]
    return layers.Concatenate()(paths)
