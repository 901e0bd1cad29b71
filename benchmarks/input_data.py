"""Batches alone: what the input pipeline delivers, against other ways and against what R4b consumes."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.images import random_images
from benchmarks.report import Row, in_turns, show
from benchmarks.training import BATCH, ours
from pipeline_config.augmentation import Augmentation
from tasks.input_pipeline import ImageSet, training_batches
from tasks.train.augmentation import augment_with

SMALL, LARGE = 32, 128
PRESETS = (None, "flips", "shifts_and_flips")
CONSUMED = "R4b's training at 32 px"
GOAL = 5  # times what the model consumes


def measure(quick: bool) -> None:
    """Rates in turns."""
    batches, steps, rounds = (32, 4, 3) if quick else (200, 8, 7)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small = random_images(80 * BATCH, SMALL, folder)
        large = random_images(16 * BATCH, LARGE, folder)
        consumer = ours(augmented=False)(small, steps)
        parts = {CONSUMED: consumer, **at_size(small, batches), **at_size(large, batches // 4)}
        for part in parts.values():
            part()  # traces graphs, fills the system's cache of files
        medians = in_turns(parts, rounds)
    show("input_data", rows(medians), f"batches of {BATCH}; the goal is {GOAL} times what R4b consumes")


def at_size(images: ImageSet, batches: int) -> dict[str, Callable[[], float]]:
    """All ways to batches of these images."""
    ways: dict[str, Callable[[], Iterable[Any]]] = {
        **{f"darkroom, {preset or 'not augmented'}": darkroom(images, preset) for preset in PRESETS},
        "numpy, rows gathered": lambda: gathered(images),
        "ImageDataGenerator, not augmented": lambda: generated(images),
        "ImageDataGenerator, shifts_and_flips": lambda: generated(
            images, rotation_range=15, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
        ),
    }
    side = images.pixels.shape[1]
    return {f"{side} px: {name}": rate_of(way(), batches) for name, way in ways.items()}


def rows(medians: dict[str, float]) -> list[Row]:
    """Darkroom's over what is consumed at that size; darkroom's over each of the others."""
    consumed = medians[CONSUMED]
    shown = [Row(CONSUMED, consumed, "images/s")]
    for name, rate in medians.items():
        side, _, way = name.partition(": ")
        if way.startswith("darkroom"):
            compared = (rate / consumed, "what R4b consumes") if side == f"{SMALL} px" else ()
            shown.append(Row(name, rate, "images/s", *compared))
        elif way:
            preset = "shifts_and_flips" if way.endswith("shifts_and_flips") else "not augmented"
            same = medians[f"{side}: darkroom, {preset}"]
            shown.append(Row(name, rate, "images/s", same / rate, "as fast is darkroom"))
    return shown


def darkroom(images: ImageSet, preset: str | None) -> Callable[[], Iterable[Any]]:
    """As the pipeline trains."""
    augment = augment_with(Augmentation.model_validate(preset)) if preset else None
    return lambda: training_batches(images, BATCH, 0, augment)


def gathered(images: ImageSet) -> Iterator[Any]:
    """Shuffled rows of the mapped file, and nothing else."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(images.labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield images.pixels[chosen], images.labels[chosen]


def generated(images: ImageSet, **changes: Any) -> Any:
    """As the recipe did it."""
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255, **changes)
    return generator.flow(np.asarray(images.pixels), images.labels, batch_size=BATCH)


def rate_of(batches: Iterable[Any], count: int) -> Callable[[], float]:
    """Images a second over so many batches, which go on where the last call ended."""
    endless = iter(batches)

    def rate() -> float:
        started = time.perf_counter()
        images = sum(len(pixels) for pixels, _ in itertools.islice(endless, count))
        return images / (time.perf_counter() - started)

    return rate
