"""Data sources: which images they find, with which labels and given splits, and what they say when there are none."""

import contextlib
import io
import os
import socket
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import ConfigurationError, DataError, Unreachable
from pipeline_config.experiment import Dataset
from tasks.images import ImageReader, decode
from tasks.ingest.listing import describe_dataset, list_dataset, source_names

COLUMNS = {"source", "label", "class_name", "split"}


def put_image(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 30, 40)).save(path)


@pytest.fixture
def list_with(tmp_path):
    """`list_with(source="folder", path=…)`: the listing, and its table as read back."""

    def make(**section):
        listing = list_dataset(Dataset(**section), tmp_path / "storage", tmp_path / "cache")
        return listing, pd.read_parquet(listing.path)

    return make


@pytest.fixture
def root(tmp_path):
    """Two classes of two images."""
    for name in ("owl/1.png", "owl/2.png", "ant/1.png", "ant/2.png"):
        put_image(tmp_path / "data" / name)
    return tmp_path / "data"


def files(table):
    return dict(zip(table["path"], table["class_name"], strict=True))


def test_every_source_file_is_found():
    assert set(source_names()) >= {"digits", "folder", "tfds"}


# Digits


def test_digits_are_described_as_they_are_listed(list_with):
    description = describe_dataset(Dataset(source="digits"))
    listing, table = list_with(source="digits")
    assert description.num_images == len(table) == 1_797
    assert description.class_names == listing.class_names == tuple("0123456789")
    assert COLUMNS | {"index"} == set(table.columns)
    assert (table["class_name"] == table["label"].astype(str)).all()
    assert table["split"].isna().all()
    assert decode(ImageReader(listing.root, listing.store).read(None, 0)).pixels.shape == (*description.image_size, 3)


def test_digits_keep_their_grey_levels(list_with):
    from sklearn.datasets import load_digits

    listing, table = list_with(source="digits")
    digits = load_digits()
    reader = ImageReader(listing.root, listing.store)
    for row in (0, 1_000, 1_796):
        pixels = decode(reader.read(None, int(table["index"][row]))).pixels
        np.testing.assert_allclose(pixels[..., 0], digits.images[row] * 255 / 16, atol=0.5)
        assert table["label"][row] == digits.target[row]


def test_option_that_a_source_does_not_know_is_refused(list_with):
    with pytest.raises(ConfigurationError, match="unknown key; allowed here: image_size, source"):
        list_with(source="digits", path="somewhere")


# Folder


def test_folders_are_classes_in_the_order_of_their_names(list_with, root):
    put_image(root / "Bee" / "1.png")
    listing, table = list_with(source="folder", path=str(root))
    assert listing.class_names == ("Bee", "ant", "owl")
    assert files(table) == {
        "Bee/1.png": "Bee", "ant/1.png": "ant", "ant/2.png": "ant", "owl/1.png": "owl", "owl/2.png": "owl",
    }  # fmt: skip
    assert table["label"].tolist() == [0, 1, 1, 2, 2]
    assert COLUMNS | {"path"} == set(table.columns)
    assert table["split"].isna().all()
    assert (listing.root, listing.store, listing.notes) == (root, None, ())


def test_description_of_a_folder_opens_one_image(root):
    description = describe_dataset(Dataset(source="folder", path=str(root)))
    assert (description.class_names, description.image_size, description.num_images) == (("ant", "owl"), (4, 6), 4)


def test_size_is_that_of_the_first_image_that_can_be_opened(root):
    (root / "ant" / "0.png").write_bytes(b"no image")
    assert describe_dataset(Dataset(source="folder", path=str(root))).image_size == (4, 6)


def test_size_of_a_folder_without_any_image_is_not_known(tmp_path):
    (tmp_path / "ant").mkdir()
    assert describe_dataset(Dataset(source="folder", path=str(tmp_path))).image_size is None


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "validation", "test"), ["test", "train", "validation"]),
        (("Train", "Test"), ["test", "train"]),
        (("TRAINING", "Valid", "TESTING"), ["test", "train", "validation"]),
        (("train", "val"), ["train", "validation"]),
    ],
)
def test_given_splits_are_taken_in_any_case(list_with, tmp_path, names, splits):
    for name in names:
        put_image(tmp_path / "data" / name / "owl" / "1.png")
        put_image(tmp_path / "data" / name / "ant" / "1.png")
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert listing.class_names == ("ant", "owl")
    assert sorted(set(table["split"])) == splits
    assert Counter(table["class_name"]) == {"ant": len(names), "owl": len(names)}
    in_test = table[table["path"].str.lower().str.startswith("test")]
    assert (in_test["split"] == "test").all()


def test_class_that_one_split_lacks_keeps_its_label(list_with, tmp_path):
    for name in ("train/ant", "train/owl", "test/owl"):
        put_image(tmp_path / "data" / name / "1.png")
    _, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert table.set_index("path")["label"].to_dict() == {
        "test/owl/1.png": 1, "train/ant/1.png": 0, "train/owl/1.png": 1,
    }  # fmt: skip


@pytest.mark.parametrize("leftover", ["__MACOSX/1.png", ".ipynb_checkpoints/1.png", ".git/1.png"])
def test_leftover_folder_is_noted_and_no_class(list_with, root, leftover):
    put_image(root / leftover)
    listing, table = list_with(source="folder", path=str(root))
    assert listing.class_names == ("ant", "owl")
    assert len(table) == 4
    assert listing.notes == (f"left out, no images of a class: {Path(leftover).parent}",)


@pytest.mark.parametrize("leftover", ["owl/Thumbs.db", "ant/.DS_Store", "owl/desktop.ini", "owl/.thumbnails/1.png"])
def test_leftover_in_a_class_is_noted_and_no_image(list_with, root, leftover):
    (root / leftover).parent.mkdir(exist_ok=True)
    (root / leftover).write_bytes(b"leftover")
    listing, table = list_with(source="folder", path=str(root))
    assert len(table) == 4
    noted = "owl/.thumbnails" if "thumbnails" in leftover else leftover
    assert listing.notes == (f"left out, no images of a class: {noted}",)


def test_leftover_beside_given_splits_does_not_turn_them_into_classes(list_with, tmp_path):
    for name in ("Train/owl", "Test/owl", "__MACOSX/Train"):
        put_image(tmp_path / "data" / name / "1.png")
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert listing.class_names == ("owl",)
    assert sorted(table["split"]) == ["test", "train"]


@pytest.mark.parametrize("loose", ["loose.png", "train/loose.png"])
def test_image_beside_the_class_folders_is_noted(list_with, tmp_path, loose):
    for name in ("train/owl", "test/owl"):
        put_image(tmp_path / "data" / name / "1.png")
    put_image(tmp_path / "data" / loose)
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert len(table) == 2
    assert listing.notes == (f"left out, no images of a class: {loose}",)


def test_class_without_images_stays_a_class(list_with, root):
    (root / "bee").mkdir()
    listing, table = list_with(source="folder", path=str(root))
    assert listing.class_names == ("ant", "bee", "owl")
    assert sorted(set(table["label"])) == [0, 2]


def test_nested_files_belong_to_the_class_folder(list_with, root):
    put_image(root / "owl" / "2024" / "may" / "3.png")
    _, table = list_with(source="folder", path=str(root))
    assert files(table)["owl/2024/may/3.png"] == "owl"


@pytest.mark.parametrize("name", ["snowy owl", "sova bílá", "シロフクロウ", 'owl, snowy ("white")'])
def test_names_may_hold_spaces_and_letters_of_any_script(list_with, tmp_path, name):
    put_image(tmp_path / "data" / name / f"{name} 1.png")
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert listing.class_names == (name,)
    assert decode(ImageReader(listing.root, None).read(table["path"][0], None)).pixels.shape == (4, 6, 3)


def test_file_name_that_is_no_text_is_taken_or_noted_or_refused_in_a_sentence(list_with, root):
    put_image(root / "owl" / os.fsdecode(b"\xff.png"))
    with contextlib.suppress(DataError):
        listing, table = list_with(source="folder", path=str(root))
        assert len(table) == 5 or "owl/" in str(listing.notes)


def test_relative_path_is_made_absolute(list_with, root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert list_with(source="folder", path="data")[0].root == root


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "files only"])
def test_folder_without_classes_is_told_with_its_path(list_with, tmp_path, kind):
    path = tmp_path / "data"
    if kind == "file":
        path.write_bytes(b"")
    elif kind != "missing":
        path.mkdir()
    if kind == "files only":
        put_image(path / "1.png")
    with pytest.raises(DataError) as caught:
        list_with(source="folder", path=str(path))
    assert str(caught.value).startswith("dataset.path: ")
    assert str(path) in str(caught.value)
    assert "one folder a class" in str(caught.value)
    assert caught.value.exit_code == 3


def test_listing_is_named_by_its_content(list_with, root):
    first, _ = list_with(source="folder", path=str(root))
    again, _ = list_with(source="folder", path=str(root))
    put_image(root / "owl" / "3.png")
    other, _ = list_with(source="folder", path=str(root))
    assert first == again
    assert first.path != other.path


def test_nothing_is_written_into_the_data_folder(list_with, root):
    before = sorted(root.rglob("*"))
    list_with(source="folder", path=str(root))
    assert sorted(root.rglob("*")) == before


# TensorFlow Datasets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folder with a prepared TFDS data set `tiny_shapes`: three images to train, two to test with."""
    import tensorflow_datasets as tfds

    class TinyShapes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.2.3")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 10, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["square", "circle"]),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _downloads):
            return {"train": self._generate_examples([0, 1, 1], 0), "test": self._generate_examples([1, 0], 100)}

        def _generate_examples(self, labels, shade):
            for number, label in enumerate(labels):
                pixels = np.full((8, 10, 3), shade + 10 * number + label, dtype=np.uint8)
                yield number, {"image": pixels, "label": label}

    data_dir = tmp_path_factory.mktemp("tfds")
    TinyShapes(data_dir=data_dir).download_and_prepare()
    return data_dir


@pytest.fixture
def tiny(prepared):
    return {"source": "tfds", "name": "tiny_shapes", "data_dir": str(prepared), "download": False}


def test_tfds_set_is_described_from_its_metadata(tiny):
    description = describe_dataset(Dataset(**tiny))
    assert (description.class_names, description.image_size, description.num_images) == (
        ("square", "circle"), (8, 10), 5,
    )  # fmt: skip


def test_tfds_set_is_listed_with_labels_and_given_splits_beside_their_images(list_with, tiny):
    listing, table = list_with(**tiny)
    assert set(table["source"]) == {"tfds:tiny_shapes:1.2.3"}
    assert Counter(table["split"]) == {"train": 3, "test": 2}
    assert (table["class_name"] == table["label"].map({0: "square", 1: "circle"})).all()
    reader = ImageReader(listing.root, listing.store)
    pixels = [decode(reader.read(None, int(index))).pixels for index in table["index"]]
    assert {image.shape for image in pixels} == {(8, 10, 3)}
    assert [int(image[0, 0, 0]) % 10 for image in pixels] == table["label"].tolist()
    assert [int(image[0, 0, 0]) >= 100 for image in pixels] == (table["split"] == "test").tolist()


def test_tfds_images_stay_encoded_as_they_are(list_with, tiny):
    listing, _ = list_with(**tiny)
    encoded = ImageReader(None, listing.store).read(None, 0)
    assert Image.open(io.BytesIO(encoded)).format == "PNG"


def test_tfds_version_that_is_not_there_is_told(tiny):
    with pytest.raises(ConfigurationError, match=r"^dataset\.version: tiny_shapes:9\.9\.9"):
        describe_dataset(Dataset(**tiny, version="9.9.9"))


def test_tfds_name_that_is_not_known_is_told_with_what_was_meant(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        describe_dataset(Dataset(source="tfds", name="cifar1O", data_dir=str(tmp_path)))
    assert str(caught.value).startswith("dataset.name: TFDS knows no data set 'cifar1O'; did you mean 'cifar10")


def test_tfds_set_without_class_labels_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="div2k is no image classification set"):
        describe_dataset(Dataset(source="tfds", name="div2k", data_dir=str(tmp_path)))


def test_tfds_set_that_is_not_prepared_is_described_all_the_same(tmp_path):
    description = describe_dataset(Dataset(source="tfds", name="cifar10", data_dir=str(tmp_path), download=False))
    assert (len(description.class_names), description.image_size) == (10, (32, 32))
    assert list(tmp_path.iterdir()) == []


def test_tfds_set_that_is_neither_prepared_nor_to_be_downloaded_names_the_folder(list_with, tmp_path):
    folder = tmp_path / "prepared"
    with pytest.raises(DataError) as caught:
        list_with(source="tfds", name="cifar10", version="3.0.2", data_dir=str(folder), download=False)
    assert str(caught.value).startswith(f"dataset.data_dir: {folder / 'cifar10' / '3.0.2'} holds no prepared cifar10")
    assert "dataset.download=true" in str(caught.value)


def test_tfds_set_whose_server_cannot_be_reached_names_the_archive_and_where_to_put_it(
    list_with, tmp_path, monkeypatch
):
    def refuse(*_arguments, **_options):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    with pytest.raises(Unreachable) as caught:
        list_with(source="tfds", name="cifar10", data_dir=str(tmp_path / "prepared"))
    assert "www.cs.toronto.edu" in str(caught.value)
    assert "cifar-10-binary.tar.gz" in str(caught.value)
    assert str(tmp_path / "home" / "data" / "downloads") in str(caught.value)
    assert caught.value.exit_code == 5
