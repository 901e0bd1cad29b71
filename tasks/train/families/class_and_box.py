"""One model for what an image shows and where it is: a class head and a box head on one trunk (recipes R2a and R2b).

The recipe's box was four unbounded outputs in pixels, whose squared error drowned the class loss. Here a box is in
fractions of the image and lies within it whatever the weights are.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import ImageSize, Train, Trainable
from tasks.train.backbones import Backbone, Weights, is_saved, pixels_to_features
from tasks.train.freezing import set_trainable
from tasks.train.layers import Pooling, Share, Widths, batch_normalised, check_poolings, dropped, raw_pixels

SMALLEST = {"filters": (4, 8), "dense_units": (16,)}

HAS_BACKBONE = True
"""With `backbone` its layers can be frozen: `train.stages` may be given then."""


def _each_once(heads: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(heads)) < len(heads):
        raise ValueError("each head once, as [class, box]")
    return heads


Heads = Annotated[tuple[Literal["class", "box"], ...], Field(min_length=1), AfterValidator(_each_once)]


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    heads: Heads = ("class", "box"),
    filters: Annotated[Widths, Field(min_length=1)] = (32, 64, 128, 128),
    convolutions: Annotated[int, Field(ge=1)] = 1,
    backbone: Annotated[Backbone | None, Field(description="null: convolutions of its own, by filters")] = None,
    weights: Weights = "imagenet",
    image_size: Annotated[ImageSize | None, Field(description="that the backbone sees; null: the data set's")] = None,
    trainable: Trainable = "none",
    bottleneck: Annotated[int | None, Field(ge=1)] = None,
    pooling: Pooling = "flatten",
    dense_units: Widths = (128,),
    dropout: Share = 0.0,
    box_weight: Annotated[float, Field(gt=0)] = 1.0,
) -> Any:
    """A Keras model from raw pixels to a dict of `probabilities` `(batch, classes)` and `box` `(batch, 4)`.

    The box is x, y, width and height in fractions of the image. With `heads: [class]` the model is a classifier as
    those of other families, from pixels to probabilities.

    Args:
        input_shape: height, width, 3; images of other sizes are resized to it in the graph.
        num_outputs: number of classes.
        heads: `class`, `box` or both.
        filters: of each block of 3×3 same ReLU convolutions, each batch-normalised; a 2×2 max-pooling ends a block.
        convolutions: in each block.
        backbone: instead of these blocks an application of Keras, as VGG16, or a saved Keras model.
        weights: of the backbone: imagenet, a file of weights, or none, which draws them at random.
        image_size: height and width in pixels that images are resized to for the backbone.
        trainable: of the backbone: `none`, `all`, the number of its last layers, or the layer or block from which on.
        bottleneck: channels to which a 1×1 ReLU convolution, batch-normalised, brings the backbone's feature map; null
            leaves it as it is, as the recipe does. Flattened whole, a map of a thousand channels lets the first steps
            drive the box to the image's edges, where it stays; and small data sets are learned by heart.
        pooling: how the feature map becomes a vector for the class head. The box head always has `flatten`: a global
            average tells what is in the image, and not where. With `flatten` both heads share the dense layers, as in
            the recipe; with `global_average` each has its own, and the class is learned from fewer images.
        dense_units: of the ReLU layers before a head.
        dropout: share dropped after each of them.
        box_weight: weight of the box loss in the sum. Both losses are of the order of 1 at the beginning and each is
            near 0 for a model that is right, so that they share the trunk about evenly at 1.

    Raises:
        ConfigurationError: a file or a layer is not what it should be, or the image is too small.
        Unreachable: ImageNet weights that are not there yet cannot be fetched.
    """
    import keras

    if backbone is None:
        pixels, features = _own_trunk(input_shape, filters, convolutions)
    else:
        pixels, features = _backbone_trunk(backbone, weights, image_size or input_shape[:2], bottleneck)
    poolings: dict[str, Pooling] = {"class": pooling, "box": "flatten"}
    needed = sorted({poolings[head] for head in heads})
    hidden = {kind: _hidden(features, kind, dense_units, dropout) for kind in needed}
    outputs = {}
    if "class" in heads:
        dense = keras.layers.Dense(num_outputs, activation="softmax", name="probabilities")
        outputs["probabilities"] = dense(hidden[pooling])
    if "box" in heads:
        outputs["box"] = _box(hidden["flatten"])
    model = keras.Model(pixels, outputs if "box" in heads else outputs["probabilities"], name="class_and_box")
    model.box_weight = box_weight
    if backbone is not None:
        set_trainable(model, trainable)
    return model


def without_download(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the same network, with weights drawn at random where others would have to be downloaded."""
    backbone = params["backbone"]
    downloads = backbone is not None and params["weights"] == "imagenet" and not is_saved(backbone)
    return {**params, "weights": None} if downloads else params


def check_train(params: dict[str, Any], train: Train, where: str) -> None:
    """Refuse what would make the boxes wrong or has no meaning for this model.

    Raises:
        ConfigurationError: names the setting and the mend.
    """
    if train.stages and params["backbone"] is None:
        raise ConfigurationError(
            f"{where}.stages: expected none, since this model has no backbone to freeze; received {len(train.stages)}; "
            "give params.backbone or train.epochs"
        )
    if "box" not in params["heads"]:
        return
    if train.augmentation and _moves_pixels(train):
        raise ConfigurationError(
            f"{where}.augmentation: expected none for a model with a box head, since its changes move the object but "
            f"not its box; received {train.augmentation.model_dump(exclude_defaults=True)}; take it away with "
            f"--set {where}.augmentation=null, or set params.heads=[class]"
        )
    if train.class_weights:
        raise ConfigurationError(
            f"{where}.class_weights: expected none for a model with a box head, whose box loss has no classes; "
            f"received {train.class_weights}; take it away, or set params.heads=[class]"
        )
    if train.label_smoothing and params["heads"] == ("box",):
        raise ConfigurationError(
            f"{where}.label_smoothing: expected 0 for a model without a class head; received {train.label_smoothing}"
        )


def _moves_pixels(train: Train) -> bool:
    """Every change that there is does; how what comes in from outside is filled is no change."""
    changes = train.augmentation.model_dump(exclude={"fill_mode"}) if train.augmentation else {}
    return any(changes.values())


def _own_trunk(input_shape: tuple[int, int, int], filters: Widths, convolutions: int) -> tuple[Any, Any]:
    """Input pixels and the feature map of the last block."""
    from keras import layers

    check_poolings(input_shape, len(filters))
    pixels, x = raw_pixels(input_shape)
    for width in filters:
        for _ in range(convolutions):
            x = batch_normalised(layers.Conv2D(width, 3, padding="same", activation="relu")(x))
        x = layers.MaxPooling2D()(x)
    return pixels, x


def _backbone_trunk(
    backbone: str, weights: str | None, size: tuple[int, int], bottleneck: int | None
) -> tuple[Any, Any]:
    """Input pixels and what the backbone makes of them, as in the family transfer."""
    import keras

    pixels, features = pixels_to_features(backbone, weights, size)
    if bottleneck and len(features.shape) == 4:
        features = batch_normalised(keras.layers.Conv2D(bottleneck, 1, activation="relu")(features))
    return pixels, features


def _hidden(features: Any, pooling: str, dense_units: Widths, dropout: float) -> Any:
    """Feature map, or what is a vector already, -> the last of the dense layers."""
    from keras import layers

    pool = layers.Flatten() if pooling == "flatten" or len(features.shape) == 2 else layers.GlobalAveragePooling2D()
    x = pool(features)
    for units in dense_units:
        x = dropped(layers.Dense(units, activation="relu")(x), dropout)
    return x


def _box(x: Any) -> Any:
    """`(batch, 4)` x, y, width, height: a size in 0..1 and a place in what it leaves of the image."""
    from keras import layers

    size = layers.Dense(2, activation="sigmoid", name="box_size")(x)
    place = layers.Dense(2, activation="sigmoid", name="box_place")(x)
    room = layers.Rescaling(-1.0, offset=1.0, name="box_room")(size)
    corner = layers.Multiply(name="box_corner")([place, room])
    return layers.Concatenate(name="box")([corner, size])
