"""Manifest -> pixels -> batches.

Images are decoded once into a uint8 array on disk at the experiment's image size; models, epochs and evaluation read
from there. Memory holds some batches of it and never the whole, so data may be larger than memory: rows are read, since
what is touched of a mapped file counts as the process's own until the system wants it back.

Resizing is TensorFlow's antialiased bilinear, the same operation that stands in the models' graphs, so that a model
served with full-size images sees what it was trained on (to within the rounding to uint8).
"""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import manifest as manifests
from tasks.files import write_whole
from tasks.images import ImageReader, Pixels, decode
from tasks.progress import bar
from tasks.records import Manifest

Positions = npt.NDArray[np.int64]
PREFETCHED_BATCHES = 2
BYTES_AT_ONCE = 1 << 20
"""Small batches are read many at once: whatever TensorFlow fetches from Python has its price."""
IMAGES_AT_ONCE = 64
"""Images that are decoded before they are written; memory holds these."""
_NO_FOLD = -1


@dataclass(frozen=True)
class ImageSet:
    """Pixels, labels and boxes of every image that has a split.

    Attributes:
        rows: manifest rows in the order of `pixels`, index 0..n-1.
        path: `.npy` file of the pixels.
    """

    rows: pd.DataFrame
    path: Path

    @cached_property
    def pixels(self) -> "np.memmap[Any, np.dtype[np.uint8]]":
        """`(n, height, width, 3)` uint8 RGB, memory-mapped, read-only: for a few of them."""
        mapped: np.memmap[Any, np.dtype[np.uint8]] = np.load(self.path, mmap_mode="r")
        return mapped

    def read(self, positions: Positions) -> Pixels:
        """The pixels at positions of any shape, `(*positions.shape, height, width, 3)`: for many of them.

        Raises:
            OSError: the file ends before them.
        """
        return read_rows(self.pixels, positions)

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """`(n,)` labels."""
        return self.rows["label"].to_numpy(np.int64)

    @cached_property
    def boxes(self) -> npt.NDArray[np.float32]:
        """`(n, 4)` x, y, width, height in fractions of the image; NaN where there is no box."""
        return self.rows.reindex(columns=list(manifests.BOX_COLUMNS)).to_numpy(np.float32)

    def positions(self, split: str) -> Positions:
        """Positions of a split's images, ascending."""
        return np.flatnonzero(self.rows["split"] == split)

    def fold(self, number: int) -> "ImageSet":
        """The same pixels, with fold `number` as validation images and the other folds as training images.

        Images of no fold, as those to test with, have no split there.
        """
        fold = self.rows["fold"].fillna(_NO_FOLD)
        held_out = np.where(fold == number, "validation", "train")
        split = pd.Series(held_out, index=self.rows.index, dtype="str").where(fold != _NO_FOLD)
        return replace(self, rows=self.rows.assign(split=split))


def read_rows(mapped: "np.memmap[Any, Any]", positions: Positions) -> npt.NDArray[Any]:
    """Rows of a `.npy` file at positions of any shape, `(*positions.shape, *row)`, read past the map of the file.

    Raises:
        OSError: the file ends before them.
    """
    rows = np.empty((positions.size, *mapped.shape[1:]), mapped.dtype)
    length = mapped.strides[0]
    with Path(str(mapped.filename)).open("rb", buffering=0) as file:
        for position, row in zip(positions.flat, rows, strict=True):
            if os.preadv(file.fileno(), [row], mapped.offset + int(position) * length) != length:
                raise OSError(f"{mapped.filename}: row {position} is cut off; delete the file, it is made anew")
    return rows.reshape(*positions.shape, *rows.shape[1:])


def open_image_set(manifest: Manifest, cache: Path) -> ImageSet:
    """The data set's pixels; decoded into `cache` when they are not there yet.

    Raises:
        OSError: an image that could be decoded when the manifest was made no longer can.
    """
    rows = manifests.usable(manifests.read(manifest.path)).dropna(subset="split")
    rows = rows.sort_values("image_id").reset_index(drop=True)
    height, width = manifest.image_size
    path = cache / "pixels" / f"{manifest.digest[:16]}-{height}x{width}.npy"
    if not path.exists():
        _decode_all(rows, manifest, path)
    return ImageSet(rows, path)


def read_pixels(manifest: Manifest) -> Callable[[str], Pixels]:
    """A function from an image's id to its pixels as stored, `(height, width, 3)` uint8 RGB."""
    rows = manifests.usable(manifests.read(manifest.path))
    places = dict(zip(rows["image_id"], _places(rows), strict=True))
    reader = ImageReader(manifest.root, manifest.store)
    return lambda image_id: decode(reader.read(*places[image_id])).pixels


def training_batches(
    images: ImageSet,
    batch_size: int,
    seed: int,
    augment: "Augment | None" = None,
    first_epoch: int = 0,
    with_boxes: bool = False,
) -> Any:
    """Endless batches of the training images, shuffled fully in every epoch.

    Args:
        images: whose training rows are used.
        batch_size: of all batches but the last of an epoch.
        seed: decides the orders and the augmentation.
        augment: changes the batches' pixels.
        first_epoch: from 0; the batches are those that follow after so many epochs.
        with_boxes: a batch also has its images' boxes.

    Returns:
        A `tf.data.Dataset` of `(batch, height, width, 3)` uint8 and `(batch,)` int64, with boxes also `(batch, 4)`
        float32 as `images.boxes`; an epoch is `steps_per_epoch(images, batch_size)` of them.
    """
    positions = images.positions("train")

    def orders() -> Iterator[Positions]:
        for epoch in itertools.count(first_epoch):
            yield epoch_order(positions, seed, epoch)

    import tensorflow as tf

    batches = _dataset(images, orders, batch_size, tf.data.INFINITE_CARDINALITY, with_boxes)
    steps = steps_per_epoch(images, batch_size)
    return _settled(augment(batches, seed, first_epoch, steps) if augment else batches)


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for `map` of a `tf.data.Dataset` that TensorFlow does not rewrite, which leaves a file behind."""
    import tensorflow as tf

    unchanged: Callable[..., Any] = tf.autograph.experimental.do_not_convert(function)
    return unchanged


def epoch_order(positions: Positions, seed: int, epoch: int) -> Positions:
    """The positions in the order in which an epoch, from 0, of a training with this seed takes them."""
    return np.random.default_rng([seed, epoch]).permutation(positions)


def ordered_batches(images: ImageSet, split: str, batch_size: int, with_boxes: bool = False) -> Any:
    """One pass over a split in the order of `images.positions(split)`; a `tf.data.Dataset` as in training."""
    positions = images.positions(split)
    batches = _batches(len(positions), batch_size)
    return _settled(_dataset(images, lambda: iter([positions]), batch_size, batches, with_boxes))


def steps_per_epoch(images: ImageSet, batch_size: int) -> int:
    """Number of batches that hold every training image once."""
    return _batches(len(images.positions("train")), batch_size)


def _batches(images: int, batch_size: int) -> int:
    return -(-images // batch_size)


Augment = Callable[[Any, int, int, int], Any]
"""Batches, a seed, the first epoch, batches of an epoch -> batches with random changes drawn anew in every one."""


def _dataset(
    images: ImageSet,
    orders: Callable[[], Iterator[Positions]],
    batch_size: int,
    cardinality: int,
    with_boxes: bool,
) -> Any:
    import tensorflow as tf

    columns: list[npt.NDArray[Any]] = [images.labels, images.boxes] if with_boxes else [images.labels]
    at_once = max(BYTES_AT_ONCE // (batch_size * images.pixels.strides[0]), 1)

    def several() -> Iterator[tuple[npt.NDArray[Any], ...]]:
        for order in orders():
            for chosen in _several_batches(order, batch_size, at_once):
                yield images.read(chosen), *(column[chosen] for column in columns)

    kinds = [(column.shape[1:], column.dtype) for column in [images.pixels, *columns]]
    signature = tuple(tf.TensorSpec((None, None, *shape), dtype) for shape, dtype in kinds)
    dataset = tf.data.Dataset.from_generator(several, output_signature=signature).unbatch()
    return dataset.apply(tf.data.experimental.assert_cardinality(cardinality))


def _several_batches(order: Positions, batch_size: int, at_once: int) -> Iterator[Positions]:
    """Positions in order, as `(batches, batch_size)` with up to `at_once` batches; a smaller last batch by itself."""
    whole = len(order) // batch_size * batch_size
    for start in range(0, whole, at_once * batch_size):
        yield order[start : min(start + at_once * batch_size, whole)].reshape(-1, batch_size)
    if whole < len(order):
        yield order[None, whole:]


def _settled(dataset: Any) -> Any:
    """Prefetched by a fixed number: tf.data's autotuning can leave the training thread idle between epochs."""
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(PREFETCHED_BATCHES).with_options(options)


def _decode_all(rows: pd.DataFrame, manifest: Manifest, path: Path) -> None:
    """Fill the `.npy` file at `path`, whole or not at all."""
    import joblib

    reader, places = ImageReader(manifest.root, manifest.store), _places(rows)
    shape = (len(rows), *manifest.image_size, 3)
    with (
        write_whole(path) as temporary,
        temporary.open("wb") as file,
        ThreadPoolExecutor(joblib.cpu_count()) as threads,
    ):
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with bar("decoding images", len(rows)) as shown:
            for start in range(0, len(rows), IMAGES_AT_ONCE):
                some = places[start : start + IMAGES_AT_ONCE]
                for pixels in threads.map(lambda place: _read_resized(reader, place, manifest.image_size), some):
                    file.write(pixels.data)
                shown.advance(len(some))


def _places(rows: pd.DataFrame) -> list[tuple[str | None, int | None]]:
    """Path and index of every row, as `ImageReader.read` takes them."""
    pairs = zip(rows["path"], rows["index"], strict=True)
    return [(None if pd.isna(path) else path, None if pd.isna(index) else int(index)) for path, index in pairs]


def _read_resized(reader: ImageReader, place: tuple[str | None, int | None], size: tuple[int, int]) -> Pixels:
    return resize(decode(reader.read(*place)).pixels, size)


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize `(height, width, 3)` uint8 as the models' graphs do, rounded to uint8."""
    if pixels.shape[:2] == size:
        return pixels
    import tensorflow as tf

    resized = tf.image.resize(pixels, size, method="bilinear", antialias=True).numpy()
    rounded: Pixels = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return rounded
