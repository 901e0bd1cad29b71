"""Random changes of training images: what they move, and what they leave."""

import numpy as np
import pytest

from pipeline_config.experiment import Augmentation
from tasks.train.augmentation import augment_with

EVERYTHING = Augmentation(rotation=20, width_shift=0.2, height_shift=0.2, horizontal_flip=True)


def augmented(images, settings, seed=0, steps=1):
    """So many batches of the same images, each changed: `(steps, batch, height, width, 3)`, and their labels."""
    import tensorflow as tf

    labels = np.arange(len(images), dtype=np.int64)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
    pixels, labels = zip(*augment_with(settings)(batches, seed).as_numpy_iterator(), strict=True)
    return np.stack(pixels), np.stack(labels)


def copies(image, count=48):
    return np.repeat(image[None], count, axis=0)


def centre_of_light(images):
    """x and y of the mean of each image's brightness."""
    light = images[..., 0].astype(float)
    y, x = np.mgrid[0 : light.shape[1], 0 : light.shape[2]]
    total = light.sum(axis=(1, 2))
    return (light * x).sum(axis=(1, 2)) / total, (light * y).sum(axis=(1, 2)) / total


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (6, 12, 20, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def dot():
    """Black with a light dot on the right of the centre. Wider than high: x and y are told apart."""
    image = np.zeros((25, 41, 3), dtype=np.uint8)
    image[11:14, 27:30] = 240
    return image


def test_labels_shape_and_type_stay(noise):
    pixels, labels = augmented(noise, EVERYTHING, steps=2)
    assert pixels.shape == (2, *noise.shape)
    assert pixels.dtype == np.uint8
    assert labels.tolist() == [[0, 1, 2, 3, 4, 5]] * 2


def test_zero_settings_change_nothing(noise):
    pixels, _ = augmented(noise, Augmentation())
    np.testing.assert_array_equal(pixels[0], noise)


def test_seed_makes_the_changes_reproducible(noise):
    first, again, other = (augmented(noise, EVERYTHING, seed, steps=3)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_step_and_every_image_is_changed_anew(noise):
    pixels, _ = augmented(copies(noise[0], 6), EVERYTHING, steps=3)
    different = {image.tobytes() for batch in pixels for image in batch}
    assert len(different) == 18


def test_flip_mirrors_half_of_the_images_and_nothing_else(noise):
    image = noise[0]
    (pixels,), _ = augmented(copies(image), Augmentation(horizontal_flip=True))
    mirrored = sum(np.array_equal(changed, image[:, ::-1]) for changed in pixels)
    kept = sum(np.array_equal(changed, image) for changed in pixels)
    assert mirrored + kept == len(pixels)
    assert 12 < mirrored < 36


def test_width_shift_moves_to_either_side_by_its_share_of_the_width(dot):
    (pixels,), _ = augmented(copies(dot), Augmentation(width_shift=0.2))
    x, y = centre_of_light(pixels)
    np.testing.assert_allclose(y, 12, atol=0.05)
    moved = x - 28
    assert np.abs(moved).max() <= 0.2 * 41 + 0.1
    assert moved.min() < -0.15 * 41
    assert moved.max() > 0.15 * 41


def test_height_shift_moves_up_and_down_by_its_share_of_the_height(dot):
    (pixels,), _ = augmented(copies(dot), Augmentation(height_shift=0.3))
    x, y = centre_of_light(pixels)
    np.testing.assert_allclose(x, 28, atol=0.05)
    moved = y - 12
    assert np.abs(moved).max() <= 0.3 * 25 + 0.1
    assert moved.min() < -0.15 * 25
    assert moved.max() > 0.15 * 25


def test_rotation_turns_about_the_centre_by_at_most_its_angle(dot):
    (pixels,), _ = augmented(copies(dot), Augmentation(rotation=30))
    x, y = centre_of_light(pixels)
    np.testing.assert_allclose(np.hypot(x - 20, y - 12), 8, atol=0.4)
    angles = np.degrees(np.arctan2(y - 12, x - 20))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -15
    assert angles.max() > 15


def test_what_comes_in_from_outside_is_the_nearest_edge(noise):
    """A picture that is the same all along its width stays so, whichever way it is moved."""
    bands = np.repeat(noise[0][:, :1], 20, axis=1)
    (pixels,), _ = augmented(copies(bands, 8), Augmentation(width_shift=0.5))
    np.testing.assert_array_equal(pixels, copies(bands, 8))
