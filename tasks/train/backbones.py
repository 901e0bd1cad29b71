"""Backbones of transfer learning: the applications of Keras by their names, and saved Keras models by their files."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

from pydantic import AfterValidator, BeforeValidator

from pipeline_config.errors import ConfigurationError
from pipeline_config.sentences import did_you_mean
from tasks.train.freezing import keep_in_inference_mode
from tasks.train.imagenet_weights import fetched_or_told

SAVED = ".keras"

# Written out, since a file with a misspelt name is refused before Keras, which takes seconds to import, is there.
_NAMES = """
    ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201
    EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
    EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S EfficientNetV2M
    EfficientNetV2L InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Large MobileNetV3Small NASNetLarge
    NASNetMobile ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2 VGG16 VGG19 Xception
"""
APPLICATIONS = tuple(_NAMES.split())


def _known(backbone: str) -> str:
    if backbone in APPLICATIONS or (is_saved(backbone) and Path(backbone).expanduser().is_file()):
        return backbone
    if is_saved(backbone):
        raise ValueError("an existing file of a saved Keras model")
    hint = did_you_mean(backbone, list(APPLICATIONS)).strip("; ")
    raise ValueError(f"one of {', '.join(APPLICATIONS)}, or the path of a {SAVED} file{hint and f' ({hint})'}")


def is_saved(backbone: str) -> bool:
    """Whether a backbone is the path of a saved model and not the name of an application."""
    return backbone.endswith(SAVED)


def _existing(weights: str | None) -> str | None:
    if weights in (None, "none", "imagenet"):
        return None if weights == "none" else weights
    if isinstance(weights, str) and Path(weights).expanduser().is_file():
        return weights
    raise ValueError("imagenet, none, or the path of an existing file of weights")


Backbone = Annotated[str, AfterValidator(_known)]
"""Name of an application of Keras, as VGG16, or path of a saved model, as models/own.keras."""

Weights = Annotated[str | None, BeforeValidator(_existing)]
"""`imagenet`, the path of a file of weights, or none (drawn at random)."""


def open_backbone(backbone: str, weights: str | None, input_shape: tuple[int, int, int]) -> Any:
    """The network without its classifier, its weights loaded.

    Args:
        backbone: as `Backbone`; of a file nothing is run (Keras's safe mode).
        weights: as `Weights`; of a saved model, which brings its own, `imagenet` means these.
        input_shape: height, width, 3.

    Returns:
        A Keras model of one input and one output, `(batch, rows, columns, channels)` or `(batch, features)`.

    Raises:
        ConfigurationError: the images are too small for it, or a file holds something else.
        Unreachable: ImageNet weights that are not there yet cannot be fetched.
    """
    if is_saved(backbone):
        return _open_saved(Path(backbone).expanduser(), weights)
    network = _build_application(backbone, weights if weights == "imagenet" else None, input_shape)
    if weights not in (None, "imagenet"):
        _load_weights(network, backbone, Path(weights).expanduser())
    return network


def pixels_to_features(backbone: str, weights: str | None, size: tuple[int, int]) -> tuple[Any, Any]:
    """Input of any size in 0..255, and what the backbone, in inference mode, makes of it.

    Args:
        backbone, weights: as of `open_backbone`, which tells what is raised.
        size: height and width that images are resized to in the graph.

    Returns:
        The input `(batch, height, width, 3)` and the backbone's output.
    """
    import keras

    network = keep_in_inference_mode(open_backbone(backbone, weights, (*size, 3)))
    pixels = keras.Input((None, None, 3), name="pixels")
    # The function and not the layer, whose training mode leaks into what follows when the model is called directly.
    resized = keras.ops.image.resize(pixels, size, interpolation="bilinear", antialias=True)
    return pixels, network(preprocess(backbone, resized), training=False)


def preprocess(backbone: str, pixels: Any) -> Any:
    """The application's own `preprocess_input` as operations of the graph; a saved model takes 0..255 as they are.

    EfficientNet, EfficientNetV2, MobileNetV3 and ConvNeXt rescale inside the network: theirs changes nothing.

    Args:
        backbone: as `Backbone`.
        pixels: symbolic, `(batch, height, width, 3)`, RGB, 0..255.
    """
    if is_saved(backbone):
        return pixels
    import keras

    application = getattr(keras.applications, backbone)
    return sys.modules[application.__module__].preprocess_input(pixels)


def _build_application(name: str, weights: str | None, input_shape: tuple[int, int, int]) -> Any:
    import keras

    application = getattr(keras.applications, name)
    try:
        # MobileNet warns that weights of 224 pixels serve for other sizes, which is what transfer learning does.
        with warnings.catch_warnings(), fetched_or_told(name):
            warnings.simplefilter("ignore", UserWarning)
            return application(include_top=False, weights=weights, input_shape=input_shape)
    except ValueError as error:
        raise ConfigurationError(
            f"params.backbone: {name} cannot be built for images of {input_shape[0]}×{input_shape[1]} pixels: "
            f"{_in_one_line(error)}; give another params.image_size"
        ) from None


def _open_saved(path: Path, weights: str | None) -> Any:
    import keras

    if weights != "imagenet":
        raise ConfigurationError(
            f"params.weights: {path} is a saved model with weights of its own; received {weights or 'none'}; "
            "take the key away"
        )
    try:
        with _warnings_as_errors():
            network = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, BadZipFile, UserWarning) as error:
        raise ConfigurationError(
            f"params.backbone: {path} cannot be loaded as a Keras model without running code: {_in_one_line(error)}"
        ) from None
    _check_feature_extractor(network, path)
    return network


def _check_feature_extractor(network: Any, path: Path) -> None:
    inputs, outputs = (getattr(network, end, None) or [] for end in ("inputs", "outputs"))
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    if len(inputs) != 1 or len(outputs) != 1 or shapes[0][-1] != 3 or len(shapes[1]) not in (2, 4):
        raise ConfigurationError(
            f"params.backbone: {path}: expected a model from (batch, height, width, 3) pixels in 0..255 to "
            f"(batch, rows, columns, channels) or (batch, features); received the shapes {shapes}"
        )


def _load_weights(network: Any, backbone: str, path: Path) -> None:
    try:
        with _warnings_as_errors():
            network.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise ConfigurationError(
            f"params.weights: {path} cannot be loaded into {backbone} without its classifier: {_in_one_line(error)}"
        ) from None


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    """Keras only warns of a file that lacks some layers' weights, and leaves these layers random."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def _in_one_line(error: Exception) -> str:
    """Keras's complaints may fill a page; their beginning tells."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= 200 else f"{text[:197]}..."
