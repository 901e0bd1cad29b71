"""Manifest -> pixels -> batches: every image once, in the order asked for, at the size that the models see."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.experiment import Model
from tasks import manifest as manifests
from tasks.image_store import write_store
from tasks.input_pipeline import (
    ImageSet,
    open_image_set,
    ordered_batches,
    read_pixels,
    resize,
    steps_per_epoch,
    training_batches,
)
from tasks.prediction import predict_split
from tasks.records import Manifest
from tasks.train.layers import raw_pixels
from tasks.train.registry import build_model

SPLITS = ["train"] * 23 + ["validation"] * 9 + ["test"] * 5
STORED = (12, 10, 3)
SIZE = (8, 6)


def pictures(count):
    """Plain images, one shade each, so that an image is known by any of its pixels after resizing too."""
    return [np.full(STORED, 5 * number, dtype=np.uint8) for number in range(count)]


def write_manifest(folder, **changes):
    """37 usable images, one quarantined and one without a split; label and shade follow from the file's number."""
    count = len(SPLITS) + 2
    for number, pixels in enumerate(pictures(count)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    ids = [f"{number * 7919 % 1009:04}" for number in range(count)]  # not in the order of the files
    columns = {
        "image_id": ids,
        "path": [f"{number:02}.png" for number in range(count)],
        "label": [number % 3 for number in range(count)],
        "split": [*SPLITS, "train", None],
        "status": ["ok"] * len(SPLITS) + ["broken", "ok"],
        "bytes": 1,
    }
    path = folder / "manifest.parquet"
    manifests.write(manifests.conform(pd.DataFrame({**columns, **changes})), path)
    return Manifest(path, "d" * 64, "t" * 64, ("a", "b", "c"), SIZE, root=folder, store=None)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def images(manifest, cache):
    return open_image_set(manifest, cache)


def shades(pixels):
    """Number of the file that each image was made of."""
    return [int(image[0, 0, 0]) // 5 for image in np.asarray(pixels)]


def epochs(images, count, batch_size=5, seed=0):
    """Numbers of the training files in the order of each epoch."""
    steps = steps_per_epoch(images, batch_size)
    seen = [shades(pixels) for pixels, _ in training_batches(images, batch_size, seed).take(count * steps)]
    return [list(chain.from_iterable(seen[start : start + steps])) for start in range(0, count * steps, steps)]


# The pixels


def test_images_that_have_a_split_and_are_sound_are_there(images):
    assert sorted(shades(images.pixels)) == list(range(len(SPLITS)))
    assert images.pixels.shape == (37, *SIZE, 3)
    assert images.pixels.dtype == np.uint8


def test_rows_labels_and_pixels_are_of_the_same_images(images):
    numbers = shades(images.pixels)
    assert list(images.rows["path"]) == [f"{number:02}.png" for number in numbers]
    assert images.labels.tolist() == [number % 3 for number in numbers]
    assert images.labels.dtype == np.int64


def test_positions_are_those_of_the_split(images):
    numbers = np.array(shades(images.pixels))
    assert sorted(numbers[images.positions("train")]) == list(range(23))
    assert sorted(numbers[images.positions("validation")]) == list(range(23, 32))
    assert sorted(numbers[images.positions("test")]) == list(range(32, 37))


def test_order_of_the_manifests_rows_changes_nothing(manifest, images, tmp_path):
    shuffled = manifests.read(manifest.path).sample(frac=1, random_state=0)
    manifests.write(shuffled, tmp_path / "manifest.parquet")
    again = open_image_set(replace(manifest, path=tmp_path / "manifest.parquet"), tmp_path)
    pd.testing.assert_frame_equal(again.rows, images.rows)
    np.testing.assert_array_equal(again.pixels, images.pixels)


def test_pixels_are_decoded_once(tmp_path):
    manifest = write_manifest(tmp_path)
    first = np.array(open_image_set(manifest, tmp_path / "cache").pixels)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    np.testing.assert_array_equal(open_image_set(manifest, tmp_path / "cache").pixels, first)


@pytest.mark.parametrize("changes", [{"digest": "e" * 64}, {"image_size": (6, 8)}], ids=["other data", "other size"])
def test_pixels_of_other_data_or_another_size_are_decoded_anew(manifest, images, cache, changes):
    other = open_image_set(replace(manifest, **changes), cache)
    assert other.path != images.path
    assert other.pixels.shape[1:3] == changes.get("image_size", SIZE)


def test_image_that_can_no_longer_be_decoded_leaves_no_half_made_pixels(tmp_path):
    manifest = write_manifest(tmp_path)
    (tmp_path / "11.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot identify"):
        open_image_set(manifest, tmp_path / "cache")
    assert list((tmp_path / "cache" / "pixels").iterdir()) == []


def test_images_of_a_store_are_found_by_their_index(manifest, tmp_path):
    encoded = [(manifest.root / f"{number:02}.png").read_bytes() for number in range(len(SPLITS) + 2)]
    write_store(tmp_path / "images.arrow", reversed(encoded))
    table = manifests.read(manifest.path)
    stored = table.assign(path=None, index=range(len(table) - 1, -1, -1))
    manifests.write(manifests.conform(stored), tmp_path / "manifest.parquet")
    of_store = replace(manifest, path=tmp_path / "manifest.parquet", root=None, store=tmp_path / "images.arrow")
    assert sorted(shades(open_image_set(of_store, tmp_path).pixels)) == list(range(len(SPLITS)))
    assert shades([read_pixels(of_store)(table["image_id"][4])]) == [4]


def test_pixels_that_were_cut_off_are_not_taken_for_images(images, tmp_path):
    cut = replace(images, path=tmp_path / "cut.npy")
    cut.path.write_bytes(images.path.read_bytes())
    assert cut.pixels.shape == images.pixels.shape
    with cut.path.open("r+b") as file:
        file.truncate(cut.path.stat().st_size - 1)
    np.testing.assert_array_equal(cut.read(np.array([[3, 35]])), images.pixels[[3, 35]][None])
    with pytest.raises(OSError, match="row 36 is cut off; delete the file"):
        cut.read(np.array([36]))


def test_single_image_is_read_as_it_is_stored(manifest):
    image_id = manifests.read(manifest.path)["image_id"][9]
    np.testing.assert_array_equal(read_pixels(manifest)(image_id), pictures(10)[9])


# Folds


@pytest.fixture(scope="module")
def folded(manifest, tmp_path_factory):
    """The files' numbers modulo 4 as folds of the 32 images that are not for testing."""
    folder = tmp_path_factory.mktemp("folded")
    table = manifests.read(manifest.path)
    number = table["path"].str.removesuffix(".png").astype("Int64")
    parted = table.assign(fold=(number % 4).where(table["split"].isin(["train", "validation"])))
    manifests.write(parted, folder / "manifest.parquet")
    return open_image_set(replace(manifest, path=folder / "manifest.parquet", digest="f" * 64), folder)


@pytest.mark.parametrize("fold", range(4))
def test_a_fold_is_held_out_and_the_others_are_trained_on(folded, fold):
    parted = folded.fold(fold)
    numbers = np.array(shades(parted.pixels))
    assert sorted(numbers[parted.positions("validation")]) == [number for number in range(32) if number % 4 == fold]
    assert sorted(numbers[parted.positions("train")]) == [number for number in range(32) if number % 4 != fold]
    assert parted.rows["split"].isna().sum() == 5
    assert parted.positions("test").size == 0


def test_a_fold_shares_the_file_of_the_pixels_and_leaves_the_images_as_they_were(folded):
    before = folded.rows.copy()
    parted = folded.fold(1)
    assert parted.path == folded.path
    pd.testing.assert_frame_equal(parted.rows.drop(columns="split"), before.drop(columns="split"))
    pd.testing.assert_frame_equal(folded.rows, before)
    assert [path.name for path in (folded.path.parent).iterdir()] == [folded.path.name]


def test_batches_of_a_fold_hold_its_images_alone(folded):
    parted = folded.fold(2)
    (seen,) = epochs(parted, 1)
    assert sorted(seen) == [number for number in range(32) if number % 4 != 2]
    held_out = [shade for pixels, _ in ordered_batches(parted, "validation", 3) for shade in shades(pixels)]
    assert sorted(held_out) == list(range(2, 32, 4))


# Batches


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_every_training_image_comes_exactly_once_an_epoch(images, batch_size):
    for seen in epochs(images, 3, batch_size):
        assert sorted(seen) == list(range(23))


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 23), (5, 5), (22, 2), (23, 1), (100, 1)])
def test_an_epoch_has_the_batches_that_hold_every_image_once(images, batch_size, steps):
    assert steps_per_epoch(images, batch_size) == steps


def test_epochs_are_in_different_orders(images):
    first, second, third = epochs(images, 3)
    assert len({tuple(first), tuple(second), tuple(third)}) == 3


def test_seed_decides_the_order(images):
    assert epochs(images, 2, seed=7) == epochs(images, 2, seed=7)
    assert epochs(images, 1, seed=7) != epochs(images, 1, seed=8)


def test_labels_stay_with_their_images(images):
    for pixels, labels in training_batches(images, 4, seed=0).take(6):
        assert labels.numpy().tolist() == [number % 3 for number in shades(pixels)]
        assert pixels.dtype == "uint8"
        assert labels.dtype == "int64"


def test_augmentation_gets_the_batches_and_the_seed(images):
    seen = []

    def augment(batches, seed, first_epoch, steps):
        seen.append((seed, first_epoch, steps))
        return batches.map(lambda pixels, labels: (255 - pixels, labels))

    ((pixels, labels),) = training_batches(images, 4, 11, augment, first_epoch=2).take(1)
    assert seen == [(11, 2, steps_per_epoch(images, 4))]
    assert labels.numpy().tolist() == [number % 3 for number in shades(255 - pixels.numpy())]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("batch_size", [4, 100])
def test_one_ordered_pass_is_in_the_order_of_the_positions(images, split, batch_size):
    batches = ordered_batches(images, split, batch_size)
    pixels, labels = (np.concatenate(part) for part in zip(*batches.as_numpy_iterator(), strict=True))
    np.testing.assert_array_equal(pixels, images.pixels[images.positions(split)])
    np.testing.assert_array_equal(labels, images.labels[images.positions(split)])
    assert int(batches.cardinality()) == -(-len(pixels) // batch_size)


def test_predictions_stand_beside_the_ids_and_labels_of_their_images(images):
    class Shade:
        """Answers the image's own shade, so that rows that fall out of step are seen."""

        def predict_proba(self, pixels):
            share = pixels[:, 0, 0, 0] / 255
            return np.stack([share, 1 - share, 0 * share], axis=1)

    table = predict_split(Shade(), images, "validation", ("a", "b", "c"))
    rows = images.rows[images.rows["split"] == "validation"]
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    assert table["label"].tolist() == rows["label"].tolist()
    expected = [5 * int(path.removesuffix(".png")) / 255 for path in rows["path"]]
    np.testing.assert_allclose(table["probability.a"], expected)


# Resizing


@pytest.fixture(scope="module")
def photo():
    """Something with edges and slopes, larger than the models' input."""
    y, x = np.mgrid[0:37, 0:53]
    return np.stack([x * 4, y * 6, 255 * ((x // 7 + y // 5) % 2)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [(8, 6), (16, 16), (37, 20), (64, 80)])
def test_resizing_is_that_of_the_models_graph_to_within_rounding(photo, size):
    import keras

    in_graph = keras.Model(*raw_pixels((*size, 3))).predict_on_batch(photo[None])[0] * 255
    resized = resize(photo, size)
    assert resized.dtype == np.uint8
    np.testing.assert_allclose(resized, in_graph, atol=0.501)


def test_image_of_the_right_size_stays_as_it_is(photo):
    np.testing.assert_array_equal(resize(photo, photo.shape[:2]), photo)


def test_shrinking_averages_instead_of_dropping_pixels():
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    assert abs(resize(stripes, (4, 4))[1:3, 1:3].astype(int) - 100).max() <= 2


@pytest.mark.parametrize("family", ["cnn_plain", "cnn_batchnorm"])
def test_model_sees_the_same_in_a_full_size_image_as_in_its_resized_pixels(photo, family):
    params = {"filters": [8], "dense_units": [16]}
    model = build_model(Model(name="m", family=family, params=params), (16, 16, 3), 4)
    full, resized = model.predict_on_batch(photo[None]), model.predict_on_batch(resize(photo, (16, 16))[None])
    np.testing.assert_allclose(full, resized, atol=0.005)
    assert np.abs(full - 0.25).max() > 0.01  # else any two images would agree


def test_a_file_far_larger_than_memory_is_read_at_its_end_as_at_its_beginning(tmp_path):
    count, row = 2_000_000, (224, 224, 3)  # 301 GB, of holes: more than one ImageNet
    path = tmp_path / "pixels.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": (count, *row)})
        file.write(bytes([1]) * 150_528)
        file.truncate(file.tell() + (count - 2) * 150_528)
        file.seek(0, 2)
        file.write(bytes([2]) * 150_528)
    images = ImageSet(pd.DataFrame({"label": [0]}), path)
    read = images.read(np.array([[count - 1, 0], [1, count - 2]]))
    assert [np.unique(pixels).tolist() for pixels in read.reshape(4, *row)] == [[2], [1], [0], [0]]
    with pytest.raises(OSError, match="cut off"):
        images.read(np.array([count]))
