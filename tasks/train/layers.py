"""What the families' networks have in common."""

from typing import Annotated, Any

from pydantic import Field

from pipeline_config.errors import ConfigurationError

Widths = tuple[Annotated[int, Field(ge=1)], ...]
"""Filters or units of layers, one number a layer or block."""


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


def classifier(features: Any, num_outputs: int, dense_units: Widths, dropout: float) -> Any:
    """Flatten, dense ReLU layers each followed by dropout, softmax."""
    from keras import layers

    x = layers.Flatten()(features)
    for units in dense_units:
        x = layers.Dense(units, activation="relu")(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    return layers.Dense(num_outputs, activation="softmax", name="probabilities")(x)


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
