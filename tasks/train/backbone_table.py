"""Backbones compared: size, parameters, depth, and the time that they take for an image on this machine."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline_config.errors import ConfigurationError
from tasks.train.backbones import Backbone, is_saved, open_backbone, preprocess
from tasks.train.description import has_kernel
from tasks.train.layer_graph.calls import calls_of

COMMON = ("VGG16", "ResNet50", "InceptionV3", "DenseNet121", "EfficientNetB0", "MobileNetV2", "MobileNetV3Small")

_FLOAT32 = 4  # bytes
_REPEATS = {1: 10, 32: 3}  # batch size -> how often it is timed


@dataclass(frozen=True)
class BackboneFigures:
    """A backbone without its classifier.

    Attributes:
        name: as it was asked for.
        file_bytes: of the saved model; of an application 4 for each parameter, which its file of weights has too.
        parameters: all weights.
        depth: convolutions and dense layers on the longest path from pixels to features, see `depth_of`.
        single_ms: median milliseconds of an image given alone.
        batch_ms: median milliseconds of an image in a batch of 32.
    """

    name: str
    file_bytes: int
    parameters: int
    depth: int
    single_ms: float
    batch_ms: float


def check_names(names: Sequence[str]) -> None:
    """Refuse what is neither an application of Keras nor an existing .keras file.

    Raises:
        ConfigurationError: lists the known names.
    """
    for name in names:
        try:
            TypeAdapter(Backbone).validate_python(name)
        except ValidationError as error:
            expected = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigurationError(f"backbone: expected {expected}; received '{name}'") from None


def measure_backbone(name: str, image_size: int) -> BackboneFigures:
    """Build a backbone, its weights drawn at random, and time it on random pixels; the memory is freed afterwards.

    Nothing is downloaded: how long a network takes does not hang on its weights. Its preprocessing is timed too.

    Args:
        name: as `backbones.Backbone`.
        image_size: pixels a side.

    Raises:
        ConfigurationError: it cannot be built for images of that size.
    """
    import keras

    network = _with_preprocessing(name, image_size)
    try:
        parameters = int(network.count_params())
        size = Path(name).expanduser().stat().st_size if is_saved(name) else parameters * _FLOAT32
        single, batch = (_milliseconds(network, image_size, images) for images in _REPEATS)
        return BackboneFigures(name, size, parameters, depth_of(network), single, batch)
    finally:
        del network
        keras.utils.clear_session(free_memory=True)


def depth_of(network: Any) -> int:
    """Convolutions and dense layers on the longest path through a Keras model, nested models included.

    It is the number in the names of ResNet-50 or VGG-16 (He et al. 2016, Simonyan and Zisserman 2015), less the dense
    layers of a classifier that is not there. Keras's own table counts activations and normalisations for most networks,
    and for VGG not, so that its depths do not compare.
    """
    depths: list[int] = []
    for call in calls_of(network, unfold=True):
        before = max((depths[source] for source in call.sources), default=0)
        depths.append(before + has_kernel(call.layer))
    return max(depths)


def _with_preprocessing(name: str, image_size: int) -> Any:
    import keras

    shape = (image_size, image_size, 3)
    weights = "imagenet" if is_saved(name) else None  # a saved model's own
    pixels = keras.Input(shape, name="pixels")
    try:
        features = open_backbone(name, weights, shape)(preprocess(name, pixels), training=False)
    except (ConfigurationError, ValueError) as error:
        reason = str(error).removeprefix("params.backbone: ").partition("; give another params")[0]
        raise ConfigurationError(
            f"backbone {name}, --image-size {image_size}: expected what can be built for images of that size; received "
            f"{' '.join(reason.split())[:300]}; give another size or backbone"
        ) from None
    network = keras.Model(pixels, features)
    network.compile(jit_compile=False)  # as the pipeline's models; compiling makes convolutions slower on a CPU
    return network


def _milliseconds(network: Any, image_size: int, images: int) -> float:
    """Median over some batches, of one image; the first batch, for which the graph is made, is left out."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, image_size, image_size, 3), dtype=np.uint8)
    network.predict_on_batch(pixels)
    seconds = []
    for _ in range(_REPEATS[images]):
        started = time.perf_counter()
        network.predict_on_batch(pixels)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) / images * 1000
