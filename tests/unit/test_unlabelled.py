"""Images without classes: what a model takes them for, as a table and a picture."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import DataError
from tasks.evaluate.unlabelled import classify_unlabelled
from tasks.ingest.outside_dataset import unlabelled_folder
from tasks.progress import console

NAMES = ("dark", "light")


class Brightness:
    """A classifier: how light an image is, is how probable the second class is."""

    def predict_proba(self, pixels):
        light = pixels.reshape(len(pixels), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1)


@pytest.fixture
def photographs(tmp_path):
    """Grey images in two folders, of different sizes; a text, and what another program left."""
    root = tmp_path / "photographs"
    (root / "below").mkdir(parents=True)
    for name, shade, size in (("a.png", 10, (20, 30)), ("below/b.jpg", 140, (9, 9)), ("below/c.png", 250, (40, 8))):
        Image.new("RGB", size, (shade, shade, shade)).save(root / name)
    (root / "notes.txt").write_text("no image")
    (root / ".hidden").write_text("")
    return root


def classified(root, folder):
    with console.capture() as said:
        classify_unlabelled(Brightness(), root, (12, 12), NAMES, folder, "brightness")
    return said.get()


def test_every_image_at_any_depth_is_told_with_its_confidence(photographs, tmp_path):
    classified(photographs, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "unlabelled_predictions.csv")
    assert table["path"].tolist() == ["a.png", "below/b.jpg", "below/c.png"]
    assert table["predicted"].tolist() == ["dark", "light", "light"]
    np.testing.assert_allclose(table["confidence"], [245 / 255, 140 / 255, 250 / 255], atol=0.01)
    np.testing.assert_allclose(table["probability.dark"] + table["probability.light"], 1)


def test_the_picture_shows_them(photographs, tmp_path):
    classified(photographs, tmp_path / "out")
    with Image.open(tmp_path / "out" / "unlabelled.png") as picture:
        shades = np.asarray(picture.convert("L"))
    assert min(shades.shape) > 200
    assert {10, 140, 250} <= set(np.unique(shades))


def test_what_cannot_be_opened_is_named(photographs, tmp_path):
    said = classified(photographs, tmp_path / "out")
    assert "images without classes left out (cannot be opened: not an image): notes.txt" in said
    assert ".hidden" not in said


def test_a_folder_without_any_image_writes_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no image below" in classified(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_missing_is_told_by_its_key(tmp_path):
    assert unlabelled_folder(None) is None
    assert unlabelled_folder(str(tmp_path)) == tmp_path
    with pytest.raises(DataError, match=r"evaluation\.unlabelled: no folder .*gone; put images there"):
        unlabelled_folder(str(tmp_path / "gone"))
