"""What the families' networks have in common."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_config.errors import ConfigurationError

Widths = tuple[Annotated[int, Field(ge=1)], ...]
"""Filters or units of layers, one number a layer or block."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""How much dropout drops; 0 is no dropout."""

Shares = tuple[Share, ...]
"""Dropout of blocks, one number a block from the first on; blocks without a number have none."""

Pooling = Literal["flatten", "global_average"]
"""How a feature map becomes a vector: all of its values, or the mean of each channel."""

# Keras's 0.99 needs some 500 steps before inference uses averages worth the name; on small data sets early stopping
# would have ended the training by then. 0.9 is what PyTorch and most papers use.
MOMENTUM = 0.9


def raw_pixels(input_shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Input of any size in 0..255, and the same resized to `input_shape` and scaled to 0..1, inside the graph.

    Resizing is the function and not the layer of that name: the layer's call defaults to training mode, which then
    leaks into batch normalisation and dropout when the model is called directly.

    Returns:
        The input `(batch, height, width, 3)` and the scaled tensor `(batch, *input_shape)`.
    """
    import keras

    height, width, channels = input_shape
    pixels = keras.Input((None, None, channels), name="pixels")
    resized = keras.ops.image.resize(pixels, (height, width), interpolation="bilinear", antialias=True)
    return pixels, keras.layers.Rescaling(1 / 255, name="rescaling")(resized)


def batch_normalised(x: Any) -> Any:
    """Batch normalisation whose moving averages follow within some 20 steps (Ioffe and Szegedy 2015)."""
    from keras import layers

    return layers.BatchNormalization(momentum=MOMENTUM)(x)


def dropped(x: Any, share: float) -> Any:
    """Dropout of that share; where it is 0 no layer."""
    from keras import layers

    return layers.Dropout(share)(x) if share else x


def classifier(
    features: Any,
    num_outputs: int,
    dense_units: Widths,
    dropout: float,
    *,
    pooling: Pooling = "flatten",
    l2: float = 0.0,
) -> Any:
    """Pooling, dense ReLU layers each followed by dropout, softmax.

    Args:
        features: `(batch, height, width, channels)`.
        num_outputs: number of classes.
        dense_units: of the ReLU layers.
        dropout: share dropped after each of them.
        pooling: how the feature map becomes a vector.
        l2: this times the sum of the squared weights of the ReLU layers is added to the loss of a training.

    Returns:
        Probabilities `(batch, num_outputs)`.
    """
    from keras import layers, regularizers

    x = layers.Flatten()(features) if pooling == "flatten" else layers.GlobalAveragePooling2D()(features)
    for units in dense_units:
        penalty = regularizers.L2(l2) if l2 else None
        x = dropped(layers.Dense(units, activation="relu", kernel_regularizer=penalty)(x), dropout)
    return layers.Dense(num_outputs, activation="softmax", name="probabilities")(x)


def dropout_of_blocks(block_dropout: Shares, blocks: int) -> Shares:
    """One share a block: those given, then 0.

    Raises:
        ConfigurationError: more shares than blocks.
    """
    if len(block_dropout) > blocks:
        raise ConfigurationError(
            f"params.block_dropout: expected at most one number for each of the {blocks} blocks of params.filters; "
            f"received {len(block_dropout)}; take {len(block_dropout) - blocks} away, or give more blocks"
        )
    return (*block_dropout, *[0.0] * (blocks - len(block_dropout)))


def check_poolings(input_shape: tuple[int, int, int], poolings: int) -> None:
    """Refuse more 2×2 poolings than the image's shorter side can be halved.

    Raises:
        ConfigurationError: nothing would be left of the image.
    """
    side = min(input_shape[:2])
    if side < 2**poolings:
        raise ConfigurationError(
            f"params.filters: {poolings} blocks halve the image so often that it needs {2**poolings} pixels a side; "
            f"received {side}; give fewer blocks or a larger dataset.image_size"
        )
