"""Resident memory of training and predicting: files of few images and of many, which takes no more."""

import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil

from benchmarks.report import Row, in_turns, show
from pipeline_config.experiment import Train
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.train.fit import fit_model

SIDE = 64
IMAGE_BYTES = SIDE * SIDE * 3
TIMES = 20  # as many bytes as allowed are in the large file
FILLING = 6_000
"""Images of a first training, of which 2,000 to validate with: enough that every batch that is ever under way at once
(prefetched, cut, predicted) has been in memory before anything is measured, whatever the size of the files."""
MB = 1e6


def measure(quick: bool) -> None:
    """Growth in turns, each time in a new process: memory that a process has freed may still be counted as its own."""
    allowed, rounds = (20_000_000, 1) if quick else (100_000_000, 3)
    counts = {"small": allowed // IMAGE_BYTES, "large": TIMES * allowed // IMAGE_BYTES + 1}
    with TemporaryDirectory() as folder:
        parts = {size: lambda count=count: in_new_process(Path(folder), count) for size, count in counts.items()}
        medians = in_turns(parts, rounds)
    show("memory", rows(medians, counts, allowed / MB), "resident size, one epoch and a prediction")


def rows(medians: dict[str, float], counts: dict[str, int], allowed: float) -> list[Row]:
    """Growth on each file, as a share of the file and of what is allowed."""
    told = []
    for size, growth in medians.items():
        file = counts[size] * IMAGE_BYTES / MB
        told += [Row(f"{size} file", file, "MB"), Row(f"growth on the {size} file", growth, "MB", growth / file, "it")]
    more = medians["large"] - medians["small"]
    return [*told, Row("more on the large file", more, "MB", more / allowed, f"the allowed {allowed:.0f} MB")]


def in_new_process(folder: Path, count: int) -> float:
    """`growth` in a process that ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(growth, folder, count).result()


def growth(folder: Path, count: int) -> float:
    """MB that the resident size rises by, mapped pages included, beyond what a first training takes for good."""
    from flows.start import load_tensorflow
    from tasks.progress import console

    console.quiet = True
    load_tensorflow()
    network = small_network()
    work(network, black_images(folder / "first.npy", FILLING))
    images = black_images(folder / "measured.npy", count)
    with watched() as sizes:
        work(network, images)
    return (max(sizes) - sizes[0]) / MB


def work(network: object, images: ImageSet) -> None:
    """Train one epoch, predict the validation images."""
    fit_model(network, images, Train(epochs=1, batch_size=64), "small")
    predict_split(network, images, "validation", ("a", "b"))


@contextmanager
def watched() -> Iterator[list[int]]:
    """Resident sizes of this process, bytes, from the block's start to its end."""
    process, done = psutil.Process(), threading.Event()
    sizes = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.005):
            sizes.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()
        sizes.append(process.memory_info().rss)


def black_images(path: Path, count: int) -> ImageSet:
    """One of three to validate with; the file takes no space on disk, but as much memory as any when read."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE, SIDE, 3)}
        np.lib.format.write_array_header_2_0(file, header)
        file.truncate(file.tell() + count * IMAGE_BYTES)
    number = np.arange(count)
    splits = np.where(number % 3 == 0, "validation", "train")
    return ImageSet(pd.DataFrame({"image_id": number.astype(str), "label": number % 2, "split": splits}), path)


def small_network() -> object:
    """Reads every pixel and computes next to nothing."""
    import keras

    pixels = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.Flatten()(keras.layers.MaxPooling2D(16)(pixels))
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(keras.layers.Rescaling(1 / 255)(pooled)))
