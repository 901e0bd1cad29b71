"""Sets of TensorFlow Datasets: what is listed of them, how often they are read, and what is said where they are not."""

import io
import os
import shutil
import socket
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import ConfigurationError, DataError, Unreachable
from pipeline_config.experiment import Dataset
from tasks.images import ImageReader, decode
from tasks.ingest.found import FRACTIONS
from tasks.ingest.listing import describe_dataset

pytestmark = pytest.mark.usefixtures("temporary_files")


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


# Boxes, and sets of objects


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    """`prepare("a_name", {"bbox": …}, [{…}, …])`: the section of a set with these features and images to train."""
    import tensorflow_datasets as tfds

    def make(called, features, examples, splits=("train",)):
        class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            name = called
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                image = {"image": tfds.features.Image(shape=(8, 10, 3), encoding_format="png")}
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({**image, **features}))

            def _split_generators(self, _downloads):
                return {split: self._generate_examples() for split in splits}

            def _generate_examples(self):
                for number, example in enumerate(examples):
                    yield number, {"image": np.full((8, 10, 3), number, np.uint8), **example}

        data_dir = tmp_path_factory.mktemp("tfds")
        Prepared(data_dir=data_dir).download_and_prepare()
        return {"source": "tfds", "name": called, "data_dir": str(data_dir), "download": False}

    return make


def box(xmin, ymin, xmax, ymax):
    import tensorflow_datasets as tfds

    return tfds.features.BBox(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax)


def first_levels(listing, table):
    """The first grey level of each image: its number among the examples."""
    reader = ImageReader(None, listing.store)
    return [int(decode(reader.read(None, int(index))).pixels[0, 0, 0]) for index in table["index"]]


@pytest.fixture(scope="module")
def boxed(prepare):
    import tensorflow_datasets as tfds

    features = {
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        "breed": tfds.features.ClassLabel(num_classes=3),
        "bbox": tfds.features.BBoxFeature(),
        "segmentation_mask": tfds.features.Image(shape=(8, 10, 1), encoding_format="png"),
    }
    mask = np.zeros((8, 10, 1), np.uint8)
    boxes = [box(0.25, 0.0, 0.75, 1.0), box(0.0, 0.5, 1.0, 0.5)]
    examples = [{"label": 1, "breed": 0, "bbox": corners, "segmentation_mask": mask} for corners in boxes]
    return prepare("boxed_pets", features, examples)


def test_box_beside_the_label_is_listed_with_its_corner_and_size(list_with, boxed):
    listing, table = list_with(**boxed)
    rows = table.set_index(pd.Index(first_levels(listing, table))).sort_index()
    assert rows[list(FRACTIONS)].to_numpy().tolist() == [[0.25, 0, 0.5, 1], [0, 0.5, 1, 0]]
    assert (listing.class_names, listing.notes) == (("cat", "dog"), ())


def test_set_without_boxes_has_no_columns_of_them(list_with, tiny):
    assert set(list_with(**tiny)[1]) == {"source", "index", "label", "class_name", "split"}


def test_box_in_pixels_is_not_taken_for_fractions(list_with, prepare):
    import tensorflow_datasets as tfds

    features = {"label": tfds.features.ClassLabel(names=["cat"]), "bbox": tfds.features.BBoxFeature(bbox_format="XYXY")}
    section = prepare("boxed_in_pixels", features, [{"label": 0, "bbox": box(1.0, 2.0, 3.0, 4.0)}])
    assert not set(FRACTIONS) & set(list_with(**section)[1])


@pytest.fixture(scope="module")
def detection(prepare):
    import tensorflow_datasets as tfds

    label = tfds.features.ClassLabel(names=["cat", "dog"])
    features = {"objects": tfds.features.Sequence({"label": label, "bbox": tfds.features.BBoxFeature()})}
    small, large, equal = box(0.0, 0.0, 0.25, 0.25), box(0.5, 0.0, 1.0, 0.5), box(0.25, 0.5, 0.5, 1.0)
    examples = [
        [{"label": 0, "bbox": small}],
        [{"label": 0, "bbox": small}, {"label": 1, "bbox": large}],
        [],
        [{"label": 1, "bbox": equal}, {"label": 0, "bbox": box(0.5, 0.5, 0.75, 1.0)}],
    ]
    return prepare("detected_pets", features, [{"objects": objects} for objects in examples])


def by_example(listing, table):
    return dict(zip(first_levels(listing, table), table["class_name"], strict=True))


def test_largest_object_gives_the_class_and_box(list_with, detection):
    listing, table = list_with(**detection)
    assert by_example(listing, table) == {0: "cat", 1: "dog", 3: "dog"}
    row = table[table["index"] == table["index"][first_levels(listing, table).index(1)]]
    assert row[list(FRACTIONS)].to_numpy().tolist() == [[0.5, 0, 0.5, 0.5]]
    assert listing.notes[0].startswith("left out, no object of a known class: train ")
    assert describe_dataset(Dataset(**detection)).class_names == ("cat", "dog")


def test_images_with_several_objects_can_be_left_out_without_reading_the_set_again(list_with, detection):
    before, _ = list_with(**detection)
    listing, table = list_with(**detection, objects="skip")
    assert listing.store == before.store
    assert by_example(listing, table) == {0: "cat"}
    assert [note.split(": ")[0] for note in listing.notes] == [
        "left out, several objects", "left out, no object of a known class",
    ]  # fmt: skip


def test_unlabelled_image_is_noted_and_of_no_class(list_with, prepare):
    import tensorflow_datasets as tfds

    features = {"label": tfds.features.ClassLabel(names=["cat", "dog"])}
    listing, table = list_with(**prepare("partly_labelled", features, [{"label": 0}, {"label": -1}]))
    assert by_example(listing, table) == {0: "cat"}
    assert len(listing.notes) == 1


def test_splits_of_other_names_are_noted(list_with, prepare):
    import tensorflow_datasets as tfds

    features = {"label": tfds.features.ClassLabel(names=["cat"])}
    section = prepare("extra_pets", features, [{"label": 0}], splits=("train", "extra"))
    listing, table = list_with(**section)
    assert table["split"].tolist() == ["train"]
    assert listing.notes == ("left out, splits other than train, validation, test: extra",)


# The store


def test_set_is_not_read_again_while_its_files_are_the_same(list_with, tiny, monkeypatch):
    import tensorflow_datasets as tfds

    first, table = list_with(**tiny)
    monkeypatch.delattr(tfds.core.DatasetBuilder, "as_dataset")
    again, table_again = list_with(**tiny)
    assert again == first
    pd.testing.assert_frame_equal(table_again, table)


def test_other_data_of_the_same_name_and_version_are_not_confused(list_with, tiny, prepared, tmp_path):
    first, _ = list_with(**tiny)
    copy = shutil.copytree(prepared, tmp_path / "copy")
    elsewhere, _ = list_with(**{**tiny, "data_dir": str(copy)})
    record = next(copy.rglob("*train.tfrecord*"))
    os.utime(record, ns=(1, 1))
    changed, _ = list_with(**{**tiny, "data_dir": str(copy)})
    assert len({listing.store for listing in (first, elsewhere, changed)}) == 3


def test_set_of_which_a_file_is_missing_is_told_with_its_name(list_with, tiny, prepared, tmp_path):
    copy = shutil.copytree(prepared, tmp_path / "copy")
    record = next(copy.rglob("*train.tfrecord*"))
    record.unlink()
    with pytest.raises(DataError, match=rf"^dataset\.data_dir: .*{record.name} cannot be read"):
        list_with(**{**tiny, "data_dir": str(copy)})


def test_classes_of_a_set_can_be_renamed_and_narrowed(list_with, tiny):
    section = {**tiny, "class_names": {"square": "box"}, "max_classes": 1, "images_per_class": 1}
    description = describe_dataset(Dataset(**section))
    listing, table = list_with(**section)
    assert description.class_names == listing.class_names == ("box",)
    assert description.num_images is None
    assert Counter(table["split"]) == {"train": 1, "test": 1}
