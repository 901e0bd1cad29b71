"""Images whose class somebody told: a folder data set, whole files, nothing beside it."""

import hashlib
import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline_config.errors import DataError
from tasks.serve.feedback import store_feedback

CLASSES = ("ant", "owl", "..", "a/b", ".hidden")


def encoded(kind="PNG", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")])
def test_the_original_bytes_are_kept_under_a_name_of_their_own_and_the_suffix_of_their_format(tmp_path, kind, suffix):
    image = encoded(kind)
    path = store_feedback(tmp_path / "root", image, "owl", CLASSES)
    assert path.read_bytes() == image
    assert files(tmp_path) == [f"root/owl/{hashlib.sha256(image).hexdigest()}.{suffix}"]


def test_the_same_image_is_stored_once_and_under_its_last_class(tmp_path):
    for label in ("owl", "owl", "ant"):
        store_feedback(tmp_path, encoded(), label, CLASSES)
    (name,) = files(tmp_path)
    assert name.startswith("ant/")


@settings(max_examples=20)
@given(label=st.text(max_size=300))
def test_no_label_writes_anything_unless_the_model_knows_it(tmp_path_factory, label):
    root = tmp_path_factory.mktemp("feedback")
    if label not in CLASSES[:2]:
        with pytest.raises(DataError, match="expected"):
            store_feedback(root, encoded(), label, CLASSES)
        assert not list(root.iterdir())


@pytest.mark.parametrize("label", ["..", "a/b", ".hidden"])
def test_a_class_that_can_name_no_folder_is_refused_with_a_sentence(tmp_path, label):
    with pytest.raises(DataError, match="expected a class that can name a folder"):
        store_feedback(tmp_path / "root", encoded(), label, CLASSES)
    assert not list(tmp_path.iterdir())


def test_what_is_no_image_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected an image"):
        store_feedback(tmp_path / "root", b"no image", "owl", CLASSES)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fails_midway_leaves_no_part_of_a_file(tmp_path):
    with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")), pytest.raises(OSError, match="No"):
        store_feedback(tmp_path, encoded(), "owl", CLASSES)
    assert files(tmp_path) == []


def test_prepare_reads_it_as_a_folder_data_set(tmp_path, list_with):
    for seed in range(4):
        store_feedback(tmp_path / "feedback", encoded("JPEG", seed), CLASSES[seed % 2], CLASSES)
    listing, table = list_with(source="folder", path=str(tmp_path / "feedback"))
    assert listing.class_names == ("ant", "owl")
    assert listing.notes == ()
    assert table["class_name"].value_counts().to_dict() == {"ant": 2, "owl": 2}
