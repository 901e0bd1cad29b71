"""A head on a pretrained backbone, frozen or fine-tuned (recipes R1b, R1c, R3b, R3c, R4e to R4h, R5b to R5d).

A backbone's batch normalisation always uses the averages that came with the weights, also where its layers are trained:
those of a small data set's batches would spoil them (Keras's guide to transfer learning and fine-tuning).
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_config.experiment import ImageSize, Trainable
from tasks.train.backbones import Backbone, Weights, is_saved, pixels_to_features
from tasks.train.freezing import set_trainable
from tasks.train.layers import Share, Widths, batch_normalised, dropped

SMALLEST = {"backbone": "VGG16", "weights": None, "image_size": (32, 32), "batch_normalization": True}

HAS_BACKBONE = True
"""Its layers can be frozen: `train.stages` may be given."""


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    backbone: Backbone = "EfficientNetB0",
    weights: Weights = "imagenet",
    image_size: Annotated[ImageSize | None, Field(description="that the backbone sees; null: the data set's")] = None,
    trainable: Trainable = "none",
    convolutions: Widths = (),
    pooling: Literal["global_average", "global_max", "flatten"] = "global_average",
    dense_units: Widths = (),
    batch_normalization: bool = False,
    dropout: Share = 0.0,
) -> Any:
    """A Keras model from raw pixels to probabilities; resizing and the backbone's preprocessing are inside the graph.

    Args:
        input_shape: height, width, 3 of the data set's images.
        num_outputs: number of classes.
        backbone: an application of Keras, as VGG16; or a saved Keras model from pixels in 0..255 to a feature map or
            vector, as models/own.keras.
        weights: imagenet; a file of weights; or none, which draws them at random. A saved model has its own.
        image_size: height and width in pixels that images are resized to for the backbone.
        trainable: `none`, `all`, the number of the backbone's last layers, or the layer or block from which on.
        convolutions: filters of 3×3 same ReLU convolutions on the feature map, each followed by batch normalisation
            and 2×2 max-pooling.
        pooling: how the feature map becomes a vector.
        dense_units: of the ReLU layers before the softmax.
        batch_normalization: of the vector, and after each dense layer with its dropout.
        dropout: share dropped after each dense layer; of the vector itself where there is none.

    Raises:
        ConfigurationError: a file or a layer is not what it should be, or the image is too small.
        Unreachable: ImageNet weights that are not there yet cannot be fetched.
    """
    import keras

    pixels, features = pixels_to_features(backbone, weights, image_size or input_shape[:2])
    x = _vector(features, convolutions, pooling)
    x = _dense(x, dense_units, batch_normalization, dropout)
    outputs = keras.layers.Dense(num_outputs, activation="softmax", name="probabilities")(x)
    model = keras.Model(pixels, outputs, name="transfer")
    set_trainable(model, trainable)
    return model


def without_download(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the same network, with weights drawn at random where others would have to be downloaded."""
    return params if params["weights"] != "imagenet" or is_saved(params["backbone"]) else {**params, "weights": None}


def _vector(features: Any, convolutions: Widths, pooling: str) -> Any:
    """Feature map -> one vector an image; what is a vector already stays as it is."""
    from keras import layers

    if len(features.shape) == 2:
        return features
    for filters in convolutions:
        features = batch_normalised(layers.Conv2D(filters, 3, padding="same", activation="relu")(features))
        features = layers.MaxPooling2D(padding="same")(features)
    kinds = {"global_average": layers.GlobalAveragePooling2D, "global_max": layers.GlobalMaxPooling2D}
    return kinds.get(pooling, layers.Flatten)()(features)


def _dense(x: Any, dense_units: Widths, batch_normalization: bool, dropout: float) -> Any:
    from keras import layers

    x = batch_normalised(x) if batch_normalization else x
    if not dense_units:
        return dropped(x, dropout)
    for units in dense_units:
        x = dropped(layers.Dense(units, activation="relu")(x), dropout)
        x = batch_normalised(x) if batch_normalization else x
    return x
