"""What a frozen backbone makes of the images: computed once, and all that the head is trained on.

A network is parted at the backbone's output into a body, which no training changes, and a head that shares its layers
with the network: fitting the head fits the network.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_config.experiment import Train
from tasks.input_pipeline import ImageSet, Positions, ordered_batches
from tasks.progress import say, track
from tasks.train.augmentation import augment_with
from tasks.train.feature_cache import MAX_BYTES_OF_NUMBER, Batches, FeatureCache, write_batches
from tasks.train.layer_graph.calls import calls_of, is_model

Features = np.memmap[Any, np.dtype[np.floating]]
"""Of images, one row each, in a file of the cache; read by `read_rows`."""

_BATCH_SIZE = 64
_VERSION = 1  # of what is computed; a change of it leaves the files of before unused


@dataclass(frozen=True)
class Parts:
    """A network in two.

    Attributes:
        body: Keras model from pixels to features; none of its weights is trained.
        head: Keras model from features to what the network answers, with the network's own layers.
    """

    body: Any
    head: Any


@dataclass(frozen=True)
class EpochFeatures:
    """Features of the training images, epoch by epoch, and of the validation images.

    Attributes:
        copies: arrays of features; epoch number e, from 0, takes that of e modulo their number.
        train: position of every training image in each of them.
        plain: features of the images as they are.
        validation: position of every validation image in `plain`.
    """

    copies: tuple[Features, ...]
    train: Positions
    plain: Features
    validation: Positions


def is_frozen(network: Any) -> bool:
    """Whether a network has a backbone of which nothing is trained."""
    return any(is_model(layer) and not layer.trainable_weights for layer in network.layers)


def split_network(network: Any) -> Parts:
    """Body and head of a network with a backbone.

    Where a global pooling, and nothing else, takes the backbone's feature map, it belongs to the body: of a map of
    4×4×1,280 numbers 1,280 are left to keep.
    """
    import keras

    cut = _cut(network)
    head = keras.Model(cut, network.output, name="head")
    if hasattr(network, "box_weight"):
        head.box_weight = network.box_weight
    return Parts(keras.Model(network.input, cut, name="body"), head)


def _cut(network: Any) -> Any:
    """The symbolic tensor between body and head."""
    import keras

    calls = calls_of(network)
    backbone = next(position for position, call in enumerate(calls) if is_model(call.layer))
    takers = [call.layer for call in calls if backbone in call.sources]
    poolings = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    is_pooled = len(takers) == 1 and isinstance(takers[0], poolings)
    return takers[0].output if is_pooled else takers[0].input


def bytes_of_features(parts: Parts, images: ImageSet, stage: Train) -> int:
    """Of the files of a stage, at most: those of float16 take half."""
    count = len(images.rows) + (stage.augmented_copies or 0) * len(images.positions("train"))
    numbers: int = math.prod(parts.body.output_shape[1:])
    return MAX_BYTES_OF_NUMBER * count * numbers


def open_features(
    parts: Parts, images: ImageSet, stage: Train, cache: FeatureCache, name: str, reading: ExitStack
) -> EpochFeatures:
    """Features of all images, those to test with as well: another split, or an evaluation, finds them here.

    Args:
        parts: of the network.
        images: whose pixels the body is given.
        stage: its augmentation is drawn `augmented_copies` times for each training image, with its seed.
        cache: where they are kept, and found again.
        name: of the model, for what is said.
        reading: keeps the files from being given up until it ends.
    """
    of_body = digest(_VERSION, describe(parts.body), *(np.asarray(weight) for weight in parts.body.weights))
    train, validation = images.positions("train"), images.positions("validation")
    size = images.pixels.shape[1:3]

    def opened(which: list[Any], positions: Positions, batches: Batches) -> Features:
        key = digest(of_body, size, *which, *images.rows["image_id"].iloc[positions])
        return _open(parts.body, key, len(positions), batches, cache, name, reading)

    everything = np.arange(len(images.rows))
    plain = opened([], everything, _InOrder(images))
    if not stage.augmentation:
        return EpochFeatures((plain,), train, plain, validation)
    settings = [stage.augmentation.model_dump_json(), stage.seed]
    copies = [
        opened([*settings, number], train, _AugmentedCopy(images, stage, number))
        for number in range(stage.augmented_copies or 0)
    ]
    return EpochFeatures(tuple(copies), np.arange(len(train)), plain, validation)


def _open(
    body: Any, key: str, count: int, batches: Batches, cache: FeatureCache, name: str, reading: ExitStack
) -> Features:
    shape = (count, *body.output_shape[1:])
    if cache.holds(key):
        say(f"{name}: what the frozen backbone makes of {count:,} images was computed before")

    def make(path: Path) -> None:
        _write_features(path, body, shape, batches, name)

    return reading.enter_context(cache.opened(key, shape, make))


def _write_features(path: Path, body: Any, shape: tuple[int, ...], batches: Batches, name: str) -> None:
    """In float16, or in float32 where a number is beyond float16's 65,504."""
    for dtype in (np.float16, np.float32):
        try:
            write_batches(path, shape, dtype, _computed(body, batches, shape[0], dtype))
        except OverflowError:
            say(f"{name}: features beyond 65,504, the largest number of float16, are kept in float32: twice the bytes")
        else:
            return


def _computed(body: Any, batches: Batches, count: int, dtype: type[np.floating]) -> Batches:
    """Features of pixel batches, with a progress bar.

    Raises:
        OverflowError: a finite feature has no finite value in this type.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *body.input_shape[1:]), tf.uint8)]
    run = tf.function(lambda pixels: body(pixels, training=False), input_signature=signature, autograph=False)
    for pixels in track(batches, "computing features", -(-count // _BATCH_SIZE)):
        exact = run(pixels).numpy()
        with np.errstate(over="ignore"):
            features = exact.astype(dtype)
        if np.isinf(features).any() and np.isfinite(exact).all():
            raise OverflowError
        yield features


@dataclass(frozen=True)
class _InOrder:
    """Pixels of all images in order, in batches, as often as they are asked for."""

    images: ImageSet

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        everything = np.arange(len(self.images.rows))
        for start in range(0, len(everything), _BATCH_SIZE):
            yield self.images.read(everything[start : start + _BATCH_SIZE])


@dataclass(frozen=True)
class _AugmentedCopy:
    """Batches of the training images in order, changed by chance: by the stage's seed and the copy's number."""

    images: ImageSet
    stage: Train
    number: int

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        assert self.stage.augmentation is not None
        batches = ordered_batches(self.images, "train", _BATCH_SIZE)
        augment = augment_with(self.stage.augmentation)
        for pixels, _ in augment(batches, self.stage.seed, self.number, len(batches)):
            yield pixels.numpy()


def digest(*parts: Any) -> str:
    """64 hex digits over texts, numbers and arrays, in their order."""
    found = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, np.ndarray)
        found.update(repr((part.shape, part.dtype.str) if is_array else part).encode())
        found.update(np.ascontiguousarray(part).data if is_array else b"")
    return found.hexdigest()


def describe(network: Any) -> str:
    """A network's layers, their settings and how they hang together; equal for equal networks.

    Layers are numbered, since Keras counts the names that it gives on from network to network of a process.
    """
    config = json.loads(network.to_json())
    numbers: dict[str, str] = {}
    _number_names(config, numbers)
    return json.dumps(_with_numbers(config, numbers), sort_keys=True)


def _number_names(node: Any, numbers: dict[str, str]) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("name"), str):
            numbers.setdefault(node["name"], f"#{len(numbers)}")
        for value in node.values():
            _number_names(value, numbers)
    elif isinstance(node, list):
        for value in node:
            _number_names(value, numbers)


def _with_numbers(node: Any, numbers: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _with_numbers(value, numbers) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_numbers(value, numbers) for value in node]
    return numbers.get(node, node) if isinstance(node, str) else node
