"""Convolutions and max-pooling with batch normalisation.

Recipes R4b (CIFAR-10, 2,200,394 parameters, 0.91 reported: the defaults), R1a, R3a, R4d, R5a and R6a; in the last two
it follows the pooling.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.train.layers import (
    Pooling,
    Share,
    Shares,
    Widths,
    batch_normalised,
    check_poolings,
    classifier,
    dropout_of_blocks,
    dropped,
    raw_pixels,
)

SMALLEST = {"filters": (4,), "convolutions": 1, "dense_units": (8,)}


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    filters: Annotated[Widths, Field(min_length=1)] = (64, 128, 256),
    convolutions: Annotated[int, Field(ge=1)] = 2,
    normalisation: Literal["after_convolution", "after_pooling"] = "after_convolution",
    block_dropout: Shares = (),
    pooling: Pooling = "flatten",
    dense_units: Widths = (256,),
    dropout: Share = 0.5,
    l2: Annotated[float, Field(ge=0)] = 0.0,
) -> Any:
    """A Keras model from raw pixels to probabilities.

    Args:
        input_shape: height, width, 3; images of other sizes are resized to it in the graph.
        num_outputs: number of classes.
        filters: of each block's 3×3 same ReLU convolutions; one block each, a 2×2 max-pooling at its end.
        convolutions: in each block.
        normalisation: after every convolution, or once a block, after its max-pooling.
        block_dropout: share dropped at the end of each block, from the first on.
        pooling: `flatten` or `global_average`, of the last block's output.
        dense_units: of the ReLU layers between pooling and softmax.
        dropout: share dropped after each dense layer.
        l2: weight of the squared weights of the dense ReLU layers in the training's loss.

    Raises:
        ConfigurationError: more blocks than the image can be halved, or more of `block_dropout` than blocks.
    """
    import keras
    from keras import layers

    check_poolings(input_shape, len(filters))
    pixels, x = raw_pixels(input_shape)
    for width, share in zip(filters, dropout_of_blocks(block_dropout, len(filters)), strict=True):
        for _ in range(convolutions):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
            if normalisation == "after_convolution":
                x = batch_normalised(x)
        x = layers.MaxPooling2D()(x)
        if normalisation == "after_pooling":
            x = batch_normalised(x)
        x = dropped(x, share)
    probabilities = classifier(x, num_outputs, dense_units, dropout, pooling=pooling, l2=l2)
    return keras.Model(pixels, probabilities, name="cnn_batchnorm")
