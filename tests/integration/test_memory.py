"""Data larger than the memory allowed: what a process holds does not grow with the number of images."""

import threading
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from pipeline_config.experiment import Train
from tasks import manifest as manifests
from tasks.image_store import write_store
from tasks.images import ImageReader
from tasks.input_pipeline import ImageSet, open_image_set
from tasks.prediction import predict_split
from tasks.records import Manifest
from tasks.train.fit import fit_model

SIDE = 64
ALLOWED = 30_000_000  # bytes; a fit leaves some 8 million of its graph, whatever the data
MANY = 20 * ALLOWED // (SIDE * SIDE * 3) + 1


@contextmanager
def watched():
    """A function that tells the most memory that the process had in the block, in bytes, mapped files included."""
    process, done, seen = psutil.Process(), threading.Event(), [0]

    def watch():
        while not done.wait(0.005):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(seen)
    finally:
        seen.append(process.memory_info().rss)
        done.set()
        thread.join()


def make_images(path: Path, count: int) -> ImageSet:
    """Black images, two of three to train with; a file of holes, which takes memory like any other when it is read."""
    with path.open("wb") as file:
        shape = (count, SIDE, SIDE, 3)
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + count * SIDE * SIDE * 3)
    number = np.arange(count)
    splits = np.where(number % 3 == 0, "validation", "train")
    return ImageSet(pd.DataFrame({"image_id": number.astype(str), "label": number % 2, "split": splits}), path)


@pytest.fixture(scope="module")
def network():
    import keras

    pixels = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.Flatten()(keras.layers.MaxPooling2D(16)(pixels))
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(keras.layers.Rescaling(1 / 255)(pooled)))


def test_training_and_prediction_take_no_more_memory_for_data_of_twenty_times_what_is_allowed(network, tmp_path):
    def work(images):
        fit_model(network, images, Train(epochs=1, batch_size=64), "small")
        predict_split(network, images, "validation", ("a", "b"))

    few, many = make_images(tmp_path / "few.npy", 3_000), make_images(tmp_path / "many.npy", MANY)
    work(few)  # what the libraries allocate once is there from then on
    with watched() as before:
        work(few)
    with watched() as after:
        work(many)
    assert many.path.stat().st_size >= 20 * ALLOWED
    assert after() - before() < ALLOWED


def write_random_images(folder: Path, count: int) -> Manifest:
    """Images that do not compress, 128 pixels a side, in a store."""
    folder.mkdir()
    random, file = np.random.default_rng(0), BytesIO()
    Image.new("RGB", (128, 128)).save(file, "BMP")
    header = file.getvalue()[: -128 * 128 * 3]
    write_store(folder / "images.arrow", (header + random.bytes(128 * 128 * 3) for _ in range(count)))
    number = np.arange(count)
    columns = {"image_id": number.astype(str), "path": None, "index": number, "label": 0, "split": "train"}
    table = pd.DataFrame({**columns, "status": "ok", "bytes": 1})
    manifests.write(manifests.conform(table), folder / "manifest.parquet")
    path, store = folder / "manifest.parquet", folder / "images.arrow"
    return Manifest(path, f"{count:0<64}", "t" * 64, ("a",), (128, 128), root=None, store=store)


def test_decoding_takes_no_more_memory_for_data_of_twenty_times_what_is_allowed(tmp_path):
    few, many = (write_random_images(tmp_path / str(count), count) for count in (300, 6_150))
    with watched() as before:
        open_image_set(few, tmp_path)
    with watched() as after:
        images = open_image_set(many, tmp_path)
    assert images.path.stat().st_size + many.store.stat().st_size >= 20 * ALLOWED
    assert after() - before() < ALLOWED


def test_images_of_a_store_are_whole_after_its_pages_were_given_back(tmp_path):
    manifest = write_random_images(tmp_path / "data", 40)
    reader = ImageReader(None, manifest.store)
    first = [reader.read(None, index) for index in range(40)]
    assert [reader.read(None, index) for index in range(40)] == first
    assert len(set(first)) == 40
