"""Random changes of training images: what the section says, what it moves, and what it leaves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_config.augmentation import PRESETS, Augmentation
from pipeline_config.experiment import Train
from pipeline_config.sentences import describe_problems
from tasks.train.augmentation import Changes, Place, apply_changes, augment_with, cut_out, move_whole_pixels

EVERYTHING = Augmentation(
    rotation=20, width_shift=0.2, height_shift=0.2, zoom=0.2, shear=0.2, horizontal_flip=True, vertical_flip=True
)
UNCHANGED = Changes(angle=0, shift_x=0, shift_y=0, mirror_x=1, mirror_y=1, scale=1, shear=0)


def augmented(images, section, seed=0, steps=1, first_epoch=0):
    """So many epochs of the same images, each changed: `(steps, batch, height, width, 3)`, and their labels."""
    import tensorflow as tf

    labels = np.arange(len(images), dtype=np.int64)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
    changed = augment_with(section)(batches, seed, first_epoch, 1)
    assert changed.element_spec == batches.element_spec
    pixels, labels = zip(*changed.as_numpy_iterator(), strict=True)
    return np.stack(pixels), np.stack(labels)


def changed_by(image, fill_mode="nearest", **numbers):
    """One image after these changes and no others."""
    import tensorflow as tf

    changes = Changes(*(tf.constant([number], tf.float32) for number in UNCHANGED._replace(**numbers)))
    return apply_changes(tf.constant(image[None]), changes, fill_mode).numpy()[0]


def copies(image, count=48):
    return np.repeat(image[None], count, axis=0)


def centre_of_light(images):
    """x and y of the mean of each image's brightness."""
    light = images[..., 0].astype(float)
    y, x = np.mgrid[0 : light.shape[1], 0 : light.shape[2]]
    total = light.sum(axis=(1, 2))
    return (light * x).sum(axis=(1, 2)) / total, (light * y).sum(axis=(1, 2)) / total


def dot_at(x, y):
    """Black, 25 pixels high and 41 wide, with a light dot so far to the right of the centre and below it."""
    image = np.zeros((25, 41, 3), dtype=np.uint8)
    image[12 + y - 1 : 12 + y + 2, 20 + x - 1 : 20 + x + 2] = 240
    return image


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (6, 12, 20, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def dot():
    """Black with a light dot on the right of the centre. Wider than high: x and y are told apart."""
    return dot_at(8, 0)


# The section in an experiment


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_alone_is_its_numbers(name):
    section = Train(augmentation=name).augmentation
    assert section == Augmentation(**PRESETS[name])
    assert section != Augmentation()


def test_explicit_numbers_win_over_those_of_the_preset():
    section = Train(augmentation={"preset": "photographs", "rotation": 5, "horizontal_flip": False}).augmentation
    assert (section.rotation, section.horizontal_flip, section.zoom) == (5, False, 0.2)


@pytest.mark.parametrize("mode", ["python", "json"])
@pytest.mark.parametrize("section", ["flips", {"preset": "photographs", "shear": 0.1}, {"rotation": 3}, None])
def test_a_dumped_section_holds_the_numbers_and_is_read_back_as_it_was(section, mode):
    train = Train(augmentation=section)
    dumped = train.model_dump(mode=mode)
    assert Train.model_validate(dumped) == train
    assert section is None or dumped["augmentation"].keys() == Augmentation.model_fields.keys() - {"preset"}


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            "photograph",
            "augmentation.preset: expected one of flips, shifts_and_flips, photographs; did you mean",
        ),
        ({"preset": "flip", "rotation": 5}, "augmentation.preset: expected one of flips, "),
        ({"preset": ["flips"]}, "augmentation.preset: expected one of flips, "),
        (
            True,
            "augmentation: expected a preset (flips, shifts_and_flips, photographs), parameters such as {",
        ),
        (["flips"], "augmentation: expected a preset (flips, "),
        ({"pre_set": "flips"}, "augmentation.pre_set: unknown key; allowed here: cutout, fill_mode, "),
        ({"rotation": 181}, "augmentation.rotation: expected less than or equal to 180; received 181"),
        ({"rotation": -1}, "augmentation.rotation: expected greater than or equal to 0; received -1"),
        ({"rotation": True}, "augmentation.rotation: expected a number, 0 for off; received True"),
        ({"height_shift": 4}, "augmentation.height_shift: expected less than 1; received 4"),
        ({"zoom": 1}, "augmentation.zoom: expected less than 1; received 1"),
        ({"shear": 20}, "augmentation.shear: expected the tangent of an angle, from 0 to 1 and not in degrees, as 0.2"),
        ({"shear": math.nan}, "augmentation.shear: expected a finite number"),
        ({"preset": "flips", "zoom": "a bit"}, "augmentation.zoom: expected a valid number"),
        ({"fill_mode": "mirror"}, "augmentation.fill_mode: expected 'nearest', 'reflect', 'constant' or 'wrap'"),
    ],
)
def test_a_wrong_section_is_refused_in_a_sentence(section, sentence):
    with pytest.raises(ValidationError) as caught:
        Train(augmentation=section)
    assert describe_problems(caught.value, Train).startswith(sentence)


# What is changed, and when


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


def test_a_training_that_goes_on_later_sees_what_it_would_have_seen(noise):
    whole, _ = augmented(noise, EVERYTHING, seed=5, steps=4)
    rest, _ = augmented(noise, EVERYTHING, seed=5, steps=2, first_epoch=2)
    np.testing.assert_array_equal(rest, whole[2:])


def test_what_stands_beside_pixels_and_labels_is_handed_on(noise):
    import tensorflow as tf

    weights = np.arange(6, dtype=np.float32)
    batches = tf.data.Dataset.from_tensors((noise, {"class": weights + 1, "box": weights + 2}, weights))
    ((pixels, labels, handed_on),) = augment_with(EVERYTHING)(batches, 0, 0, 1)
    assert not np.array_equal(pixels, noise)
    assert labels["box"].numpy().tolist() == [2, 3, 4, 5, 6, 7]
    assert handed_on.numpy().tolist() == [0, 1, 2, 3, 4, 5]


def test_switching_one_change_on_leaves_the_others_as_they_were(dot):
    (alone,), _ = augmented(copies(dot), Augmentation(width_shift=0.2))
    (flipped,), _ = augmented(copies(dot), Augmentation(width_shift=0.2, vertical_flip=True))
    np.testing.assert_array_equal(alone, flipped)  # the dot is midway between top and bottom


def test_every_step_and_every_image_is_changed_anew(noise):
    pixels, _ = augmented(copies(noise[0], 6), EVERYTHING, steps=3)
    different = {image.tobytes() for batch in pixels for image in batch}
    assert len(different) == 18


# How far each change goes


@pytest.mark.parametrize(("flip", "axis"), [("horizontal_flip", 1), ("vertical_flip", 0)])
def test_flip_mirrors_half_of_the_images_and_nothing_else(flip, axis):
    images = np.random.default_rng(0).integers(0, 256, (48, 12, 20, 3), dtype=np.uint8)
    (pixels,), _ = augmented(images, Augmentation(**{flip: True}))
    mirrored = (pixels == np.flip(images, axis + 1)).all(axis=(1, 2, 3))
    kept = (pixels == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 12 < mirrored.sum() < 36


def test_an_image_is_mirrored_in_every_other_epoch(noise):
    pixels, _ = augmented(noise, Augmentation(horizontal_flip=True), steps=4)
    np.testing.assert_array_equal(pixels[1], pixels[0][:, :, ::-1])
    np.testing.assert_array_equal(pixels[2:], pixels[:2])


def test_an_epoch_of_several_steps_mirrors_an_image_alike_in_each(noise):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors((noise,)).repeat(4)
    changed = augment_with(Augmentation(horizontal_flip=True))(batches, 0, 0, 2)
    first, again, next_epoch, _ = (pixels for (pixels,) in changed.as_numpy_iterator())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, next_epoch[:, :, ::-1])


def test_with_both_flips_four_epochs_show_all_four_sides(noise):
    pixels, _ = augmented(noise, Augmentation(horizontal_flip=True, vertical_flip=True), steps=4)
    for versions in pixels.swapaxes(0, 1):
        assert len({version.tobytes() for version in versions}) == 4


def test_cutout_greys_a_part_of_its_size_anywhere_in_the_image(noise):
    (pixels,), _ = augmented(copies(noise[0]), Augmentation(cutout=0.5))
    cut = (pixels == 128).all(axis=-1)
    np.testing.assert_array_equal(pixels[~cut], copies(noise[0])[~cut])
    assert cut.any(axis=2).sum(axis=1).max() == 6  # of 12 rows
    assert cut.any(axis=1).sum(axis=1).max() == 10  # of 20 columns
    assert cut.any(axis=0).all()


def test_cutout_lies_about_its_centre():
    white = np.full((1, 8, 12, 3), 255, np.uint8)
    cut = cut_out(white, Place(x=np.float32([9]), y=np.float32([2])), 0.5).numpy()[0, :, :, 0] == 128
    expected = np.zeros((8, 12), bool)
    expected[0:4, 6:12] = True
    np.testing.assert_array_equal(cut, expected)


def test_width_shift_moves_to_either_side_by_its_share_of_the_width(dot):
    (pixels,), _ = augmented(copies(dot), Augmentation(width_shift=0.2))
    x, y = centre_of_light(pixels)
    np.testing.assert_allclose(y, 12, atol=0.05)
    moved = x - 28
    assert np.abs(moved).max() <= 0.2 * 41 + 0.1
    assert moved.min() < -0.15 * 41
    assert moved.max() > 0.15 * 41


def test_a_whole_shift_that_wraps_is_a_roll():
    image = np.random.default_rng(0).integers(0, 256, (1, 9, 12, 3), dtype=np.uint8)
    drawn = Changes(*(np.float32([value]) for value in (0, 5, -3, 1, 1, 1, 0)))
    np.testing.assert_array_equal(move_whole_pixels(image, drawn, "wrap"), np.roll(image, (-3, 5), axis=(1, 2)))


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "constant"])
def test_whole_pixels_are_moved_as_by_the_transform(fill_mode):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (64, 9, 12, 3), dtype=np.uint8)
    still = np.zeros(64, np.float32)
    drawn = Changes(
        angle=still,
        shift_x=random.integers(-11, 12, 64).astype(np.float32),
        shift_y=random.integers(-8, 9, 64).astype(np.float32),
        mirror_x=random.choice(np.float32([-1, 1]), 64),
        mirror_y=random.choice(np.float32([-1, 1]), 64),
        scale=still + 1,
        shear=still,
    )
    expected = apply_changes(pixels, drawn, fill_mode)
    np.testing.assert_array_equal(move_whole_pixels(pixels, drawn, fill_mode), expected)


def test_what_is_only_shifted_and_mirrored_is_not_blurred():
    """Every pixel value of noise is one that the image had; two pixels to either side, each shift as likely."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    settings = Augmentation(width_shift=0.1, height_shift=0.1, horizontal_flip=True, fill_mode="reflect")
    pixels = np.concatenate(augmented(copies(noise, 1_000), settings, steps=2)[0])
    inner = pixels[:, 8:12, 8:12]
    found = {
        (y, x, flipped): np.flatnonzero((inner == side[8 - y : 12 - y, 8 - x : 12 - x]).all(axis=(1, 2, 3)))
        for flipped, side in ((False, noise), (True, noise[:, ::-1]))
        for y in range(-2, 3)
        for x in range(-2, 3)
    }
    counts = [len(images) for images in found.values()]
    assert sum(counts) == 2_000
    assert min(counts) > 15


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


def test_zoom_scales_both_sides_alike_about_the_centre():
    (pixels,), _ = augmented(copies(dot_at(8, 4)), Augmentation(zoom=0.2))
    x, y = centre_of_light(pixels)
    np.testing.assert_allclose((x - 20) / 8, (y - 12) / 4, atol=0.03)
    scale = (x - 20) / 8
    assert 0.79 < scale.min() < 0.9
    assert 1.1 < scale.max() < 1.21


def test_shear_moves_rows_by_at_most_its_share_of_their_distance_from_the_centre():
    (pixels,), _ = augmented(copies(dot_at(0, 8)), Augmentation(shear=0.5))
    x, y = centre_of_light(pixels)
    np.testing.assert_allclose(y, 20, atol=0.05)
    moved = x - 20
    assert np.abs(moved).max() <= 0.5 * 8 + 0.05
    assert moved.min() < -2
    assert moved.max() > 2


def test_changes_of_one_image_are_drawn_apart(dot):
    (pixels,), _ = augmented(copies(dot), Augmentation(width_shift=0.2, height_shift=0.2))
    assert abs(np.corrcoef(centre_of_light(pixels))[0, 1]) < 0.5


# Where a point goes


@pytest.mark.parametrize(
    ("start", "numbers", "end"),
    [
        ((8, 3), {"shift_x": 5}, (13, 3)),
        ((8, 3), {"shift_y": -2}, (8, 1)),
        ((8, 3), {"mirror_x": -1}, (-8, 3)),
        ((8, 3), {"mirror_y": -1}, (8, -3)),
        ((8, 3), {"angle": math.pi / 2}, (-3, 8)),
        ((8, 3), {"angle": math.pi / 2, "shift_x": 5}, (2, 8)),
        ((8, 3), {"scale": 2.0}, (16, 6)),
        ((8, 4), {"shear": 0.5}, (10, 4)),
        ((8, -4), {"shear": 0.5, "mirror_x": -1}, (-10, -4)),
        ((8, 4), {"shear": 0.5, "scale": 0.75, "angle": math.pi}, (-7.5, -3)),
    ],
)
def test_a_point_right_of_the_centre_and_below_it_goes_where_the_numbers_say(start, numbers, end):
    x, y = centre_of_light(changed_by(dot_at(*start), **numbers)[None])
    assert (x[0] - 20, y[0] - 12) == pytest.approx(end, abs=0.05)


def reference(image, fill_mode, changes):
    """The same by scipy, from the forward matrices multiplied one by one; `(height, width, 3)` float."""
    from scipy import ndimage

    height, width, _ = image.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])

    def moved_by(x, y):
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])

    cosine, sine = np.cos(changes.angle), np.sin(changes.angle)
    forward = (
        moved_by(changes.shift_x, changes.shift_y)
        @ moved_by(*centre)
        @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        @ np.diag([changes.scale, changes.scale, 1])
        @ np.array([[1, changes.shear, 0], [0, 1, 0], [0, 0, 1]])
        @ np.diag([changes.mirror_x, changes.mirror_y, 1])
        @ moved_by(*-centre)
    )
    rows_and_columns = np.linalg.inv(forward)[[1, 0, 2]][:, [1, 0, 2]]
    mode = {"constant": "grid-constant"}.get(fill_mode, fill_mode)
    channels = np.moveaxis(image.astype(float), -1, 0)
    return np.stack([ndimage.affine_transform(one, rows_and_columns, order=1, mode=mode) for one in channels], axis=-1)


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(2, 24), st.integers(2, 24)),
    fill_mode=st.sampled_from(["nearest", "reflect", "constant"]),
    changes=st.builds(
        Changes,
        angle=st.floats(-math.pi, math.pi),
        shift_x=st.floats(-10, 10),
        shift_y=st.floats(-10, 10),
        mirror_x=st.sampled_from([-1, 1]),
        mirror_y=st.sampled_from([-1, 1]),
        scale=st.floats(0.5, 2),
        shear=st.floats(-1, 1),
    ),
)
def test_all_changes_together_are_those_of_the_matrices_about_the_centre(size, fill_mode, changes):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    changed = changed_by(image, fill_mode, **changes._asdict())
    assert np.abs(changed - reference(image, fill_mode, changes)).max() < 0.55  # rounding, and float32


@pytest.mark.parametrize(
    ("fill_mode", "row"),
    [
        ("nearest", [10, 10, 10, 10, 20]),
        ("reflect", [30, 20, 10, 10, 20]),
        ("constant", [0, 0, 0, 10, 20]),
        ("wrap", [30, 40, 50, 10, 20]),
    ],
)
def test_what_comes_in_from_outside_is_of_the_fill_mode(fill_mode, row):
    image = np.tile(np.array([10, 20, 30, 40, 50], dtype=np.uint8)[None, :, None], (2, 1, 3))
    changed = changed_by(image, fill_mode, shift_x=3)
    np.testing.assert_array_equal(changed, np.tile(np.array(row)[None, :, None], (2, 1, 3)))


def test_fill_mode_of_the_section_is_used(noise):
    changed = {
        mode: augmented(noise, Augmentation(width_shift=0.9, fill_mode=mode))[0].tobytes()
        for mode in ("nearest", "reflect", "constant", "wrap")
    }
    assert len(set(changed.values())) == 4


def test_what_comes_in_from_outside_is_the_nearest_edge(noise):
    """A picture that is the same all along its width stays so, whichever way it is moved."""
    bands = np.repeat(noise[0][:, :1], 20, axis=1)
    (pixels,), _ = augmented(copies(bands, 8), Augmentation(width_shift=0.5))
    np.testing.assert_array_equal(pixels, copies(bands, 8))
