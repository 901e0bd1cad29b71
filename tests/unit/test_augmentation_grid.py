"""The picture of augmented training images: which images, what it says, what it shows."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.augmentation import Augmentation
from tasks.input_pipeline import ImageSet
from tasks.train.augmentation_grid import choose_images, describe, draw_augmented

NAMES = ("a", r"american staffordshire terrier of $\kennel$ number 2", "c")
BELOW_THE_HEADINGS = 80  # pixels


def image_set(folder, labels, splits="train", size=(12, 16)):
    """So many images of black and white pixels by chance."""
    pixels = np.random.default_rng(0).integers(0, 2, (len(labels), *size, 1)).astype(np.uint8) * 255
    np.save(folder / "pixels.npy", np.repeat(pixels, 3, axis=-1))
    return ImageSet(pd.DataFrame({"label": labels, "split": splits}), folder / "pixels.npy")


def picture_of(images, section, path, seed=0, names=NAMES):
    draw_augmented(images, section, names, seed, path, "cnn")
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L")).astype(int)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_set(tmp_path_factory.mktemp("images"), [0, 1, 2] * 4)


@pytest.fixture(scope="module")
def unchanged(images, tmp_path_factory):
    return picture_of(images, Augmentation(), tmp_path_factory.mktemp("pictures") / "unchanged.png")


def test_only_training_images_are_shown_and_classes_take_turns(tmp_path):
    labels = np.array([0] * 30 + [1, 2] + [3] * 10)
    splits = np.where(np.arange(42) % 5 == 4, "validation", "train")
    chosen = choose_images(image_set(tmp_path, labels, splits), seed=0)
    assert len(set(chosen)) == 6
    assert set(splits[chosen]) == {"train"}
    assert labels[chosen].tolist() == [0, 0, 1, 2, 3, 3]


def test_six_of_many_classes_are_shown_as_the_seed_chooses(tmp_path):
    labels = np.arange(40) % 20
    images = image_set(tmp_path, labels)
    first, again, other = (choose_images(images, seed) for seed in (1, 1, 2))
    assert len(set(labels[first])) == 6
    assert first.tolist() == again.tolist() != other.tolist()


def test_few_training_images_are_all_shown(tmp_path):
    images = image_set(tmp_path, [1, 0, 1], ["train", "train", "validation"])
    assert choose_images(images, seed=3).tolist() == [1, 0]
    assert picture_of(images, Augmentation(rotation=9), tmp_path / "few.png").shape[0] < 400


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, "nothing is changed"),
        ("flips", "horizontal flip"),
        (
            {"preset": "photographs", "width_shift": 0.125, "fill_mode": "reflect"},
            "rotation up to 40°, width shift up to 12.5 %, height shift up to 20 %, scale 0.8 to 1.2, shear up to 0.2, "
            "horizontal flip, fill reflect",
        ),
        ({"zoom": 0.5, "vertical_flip": True}, "scale 0.5 to 1.5, vertical flip, fill nearest"),
    ],
)
def test_title_names_what_is_on(section, words):
    assert describe(Augmentation.model_validate(section)) == words


def test_originals_stand_at_the_left_and_changes_to_the_right_of_them(images, unchanged, tmp_path):
    changed = picture_of(images, Augmentation(rotation=40, zoom=0.2), tmp_path / "changed.png")
    assert changed.shape == unchanged.shape
    differing = np.flatnonzero((changed != unchanged)[BELOW_THE_HEADINGS:].any(axis=0)) / changed.shape[1]
    assert 0.2 < differing.min() < 0.4
    assert differing.max() > 0.95


def test_changes_are_drawn_by_the_seed(tmp_path):
    images = image_set(tmp_path, [0, 1])  # any seed chooses both
    section = Augmentation(rotation=40)
    first, again, other = (picture_of(images, section, tmp_path / f"{n}.png", seed) for n, seed in enumerate((1, 1, 2)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_small_images_are_enlarged_by_nearest_neighbour_and_nothing_is_cut_off(unchanged):
    tiles = unchanged[BELOW_THE_HEADINGS:, unchanged.shape[1] // 2 :]
    assert np.isin(tiles, [0, 255]).mean() > 0.98
    assert 0.3 < (tiles == 0).mean() < 0.6
    for edge in (unchanged[:6], unchanged[-6:], unchanged[:, :6], unchanged[:, -6:]):
        assert (edge == 255).all()
