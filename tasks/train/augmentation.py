"""Random changes of training images, a whole batch at once: one projective transform does them all.

A point of an image, as (x, y) from the image's centre in pixels, is flipped, sheared, scaled, rotated and then shifted:

    (x', y') = R(angle) scale S(shear) F (x, y) + (shift_x, shift_y)

where F mirrors, S(k) moves a row by k times its y, and R turns clockwise as y points down. A shift is therefore along
the sides of the result, whatever the rotation. The pixels are interpolated once.

An image that is mirrored in one epoch is not in the next, which by chance alone would come to three alike in a row for
one image of four: Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (arXiv:2404.00498), section 3.6.
"""

import math
from typing import Any, NamedTuple

from pipeline_config.augmentation import Augmentation
from tasks.input_pipeline import Augment, as_written

_GREY = 128
"""What stands for no information: about the mean of photographs, as the paper's zero after normalisation."""


class Changes(NamedTuple):
    """What was drawn for each image of a batch; every field is `(batch,)` float32."""

    angle: Any
    """Radians, clockwise."""
    shift_x: Any
    """Pixels to the right."""
    shift_y: Any
    """Pixels down."""
    mirror_x: Any
    """-1 where left and right change places, else 1."""
    mirror_y: Any
    """-1 where top and bottom change places, else 1."""
    scale: Any
    """Sides of the result over sides of the image; above 0."""
    shear: Any
    """Pixels to the right for each pixel below the centre."""


class Place(NamedTuple):
    """Centre of what is cut out of each image of a batch; both are `(batch,)` float32 pixels."""

    x: Any
    y: Any


def augment_with(settings: Augmentation) -> Augment:
    """A function of batches, seed, the first epoch from 0 and batches of an epoch, for `training_batches`.

    Batches are tuples that begin with `(batch, height, width, 3)` uint8 pixels; these are changed, the rest is handed
    on. Every image of every batch is changed anew. A batch's changes depend on the seed, the batch's number and its
    pixels alone, so that a training which goes on later sees what it would have seen.
    """

    def augment(batches: Any, seed: int, first_epoch: int, steps: int) -> Any:
        def change(step: Any, batch: tuple[Any, ...]) -> tuple[Any, ...]:
            pixels, *others = batch
            return _changed(pixels, settings, (seed, step), step // steps), *others

        return batches.enumerate(start=first_epoch * steps).map(as_written(change))

    return augment


def _changed(pixels: Any, settings: Augmentation, seed: tuple[int, Any], epoch: Any) -> Any:
    height, width = pixels.shape[1:3]
    drawn, place = _draw(settings, pixels, seed, epoch)
    apply = move_whole_pixels if _is_on_grid(settings, height, width) else apply_changes
    moved = apply(pixels, drawn, settings.fill_mode)
    return cut_out(moved, place, settings.cutout) if settings.cutout else moved


def _is_on_grid(settings: Augmentation, height: int, width: int) -> bool:
    """Whether images are only mirrored and shifted, and these shifts are whole pixels."""
    shifts = (settings.height_shift * height, settings.width_shift * width)
    return not _leaves_grid(settings) and all(most == 0 or _whole(most) for most in shifts)


def _leaves_grid(settings: Augmentation) -> bool:
    return bool(settings.rotation or settings.zoom or settings.shear)


def _whole(most: float) -> int:
    """Pixels; 0.1 of 30 are 3, as floats a little less."""
    return math.floor(most + 0.001)


def _draw(settings: Augmentation, pixels: Any, seed: tuple[int, Any], epoch: Any) -> tuple[Changes, Place]:
    """Every number is drawn, on or off, so that switching one on leaves the others as they were."""
    import tensorflow as tf

    height, width = pixels.shape[1:3]
    seed_and_step = tf.stack([tf.cast(part, tf.int64) for part in seed])
    draws = tf.unstack(tf.random.stateless_uniform((7, tf.shape(pixels)[0]), seed_and_step, minval=-1))
    angle, shift_x, shift_y, scale, shear, place_x, place_y = draws
    first, second = _own_bits(pixels)
    changes = Changes(
        angle=angle * math.radians(settings.rotation),
        shift_x=_shift(shift_x, settings.width_shift * width, settings),
        shift_y=_shift(shift_y, settings.height_shift * height, settings),
        mirror_x=_in_turn(first + seed[0] + epoch, settings.horizontal_flip),
        mirror_y=_in_turn(second + (seed[0] + epoch) // 2, settings.vertical_flip),
        scale=1 + scale * settings.zoom,
        shear=shear * settings.shear,
    )
    return changes, Place((place_x + 1) * width / 2, (place_y + 1) * height / 2)


def _shift(drawn: Any, most: float, settings: Augmentation) -> Any:
    """Pixels; whole ones, each as likely, where nothing else moves pixels off their grid.

    Interpolation blurs. Images that are only shifted and mirrored are not blurred, as those to validate and test with
    are not. A largest shift of less than a pixel stays one.
    """
    import tensorflow as tf

    whole = _whole(most)
    if _leaves_grid(settings) or not whole:
        return drawn * most
    return tf.clip_by_value(tf.round(drawn * (whole + 0.5)), -whole, whole)


def _own_bits(pixels: Any) -> tuple[Any, Any]:
    """Two numbers `(batch,)` int64 whose last bits are an image's own, the same in every epoch, from its middle row."""
    import tensorflow as tf

    total = tf.reduce_sum(tf.cast(pixels[:, pixels.shape[1] // 2], tf.int64), axis=(1, 2))
    return total, total // 2


def _in_turn(turn: Any, is_on: bool) -> Any:
    """`(batch,)` float32: -1 at odd turns and 1 at even ones, or always 1."""
    import tensorflow as tf

    return tf.cast(1 - 2 * (turn % 2), tf.float32) if is_on else tf.ones_like(turn, tf.float32)


def apply_changes(pixels: Any, changes: Changes, fill_mode: str) -> Any:
    """Change each image as was drawn for it.

    Args:
        pixels: `(batch, height, width, 3)` uint8.
        changes: for each image.
        fill_mode: of `Augmentation`. TensorFlow's wrap repeats the image once to each side and is ragged beyond.

    Returns:
        The same shape and type, interpolated bilinearly and rounded.
    """
    import tensorflow as tf

    changed = tf.raw_ops.ImageProjectiveTransformV3(
        # uint8 would be rounded down, and every image half a level darker; this takes no longer.
        images=tf.cast(pixels, tf.float32),
        transforms=_transforms(changes, *tf.unstack(tf.cast(tf.shape(pixels)[1:3], tf.float32))),
        output_shape=tf.shape(pixels)[1:3],
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
        fill_value=0.0,
    )
    return tf.cast(tf.round(changed), pixels.dtype)


def move_whole_pixels(pixels: Any, changes: Changes, fill_mode: str) -> Any:
    """As `apply_changes`, several times as fast, for shifts by whole pixels and mirroring; wrapping is a roll."""
    import tensorflow as tf

    rows = _sources(changes.shift_y, changes.mirror_y, pixels.shape[1])
    columns = _sources(changes.shift_x, changes.mirror_x, pixels.shape[2])
    moved = tf.gather(pixels, _filled(rows, pixels.shape[1], fill_mode), axis=1, batch_dims=1)
    moved = tf.gather(moved, _filled(columns, pixels.shape[2], fill_mode), axis=2, batch_dims=1)
    if fill_mode != "constant":
        return moved
    inside = _is_inside(rows, pixels.shape[1])[:, :, None] & _is_inside(columns, pixels.shape[2])[:, None, :]
    return tf.where(inside[..., None], moved, tf.zeros_like(moved))


def cut_out(pixels: Any, place: Place, share: float) -> Any:
    """Grey over a part of each image: DeVries and Taylor, Improved Regularization with Cutout, 2017 (arXiv:1708.04552).

    Args:
        pixels: `(batch, height, width, 3)` uint8.
        place: centre of the part, which may reach beyond the image.
        share: sides of the part over those of the image.
    """
    import tensorflow as tf

    height, width = pixels.shape[1:3]
    rows = _is_near(place.y, share, height)
    columns = _is_near(place.x, share, width)
    is_cut = rows[:, :, None] & columns[:, None, :]
    return tf.where(is_cut[..., None], tf.constant(_GREY, pixels.dtype), pixels)


def _is_near(centre: Any, share: float, side: int) -> Any:
    """`(batch, side)`: whether a pixel's middle is within half of the share of the side from the centre."""
    import tensorflow as tf

    middles = tf.range(side, dtype=tf.float32) + 0.5
    return tf.abs(middles - centre[:, None]) < share * side / 2


def _sources(shift: Any, mirror: Any, side: int) -> Any:
    """`(batch, side)` int32: where along a side each pixel is taken from, also outside the image."""
    import tensorflow as tf

    centre = (side - 1) / 2
    places = tf.range(side, dtype=tf.float32) - centre
    return tf.cast(tf.round(mirror[:, None] * (places - shift[:, None]) + centre), tf.int32)


def _filled(sources: Any, side: int, fill_mode: str) -> Any:
    """Places within the image that stand for those outside; shifts are smaller than the side."""
    import tensorflow as tf

    if fill_mode == "wrap":
        return sources % side
    if fill_mode == "reflect":
        sources = tf.where(sources < 0, -1 - sources, sources)
        sources = tf.where(sources >= side, 2 * side - 1 - sources, sources)
    return tf.clip_by_value(sources, 0, side - 1)


def _is_inside(sources: Any, side: int) -> Any:
    return (sources >= 0) & (sources < side)


def _transforms(changes: Changes, height: Any, width: Any) -> Any:
    """`(batch, 8)` rows `a0 a1 a2 b0 b1 b2 0 0`: pixel (x, y) is taken from (a0 x + a1 y + a2, b0 x + b1 y + b2).

    These are the inverse, from the result back to the image: F S(-shear) R(-angle) / scale.
    """
    import tensorflow as tf

    cosine, sine = tf.cos(changes.angle) / changes.scale, tf.sin(changes.angle) / changes.scale
    a0, a1 = changes.mirror_x * (cosine + changes.shear * sine), changes.mirror_x * (sine - changes.shear * cosine)
    b0, b1 = changes.mirror_y * -sine, changes.mirror_y * cosine
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    from_x, from_y = centre_x + changes.shift_x, centre_y + changes.shift_y
    a2 = centre_x - a0 * from_x - a1 * from_y
    b2 = centre_y - b0 * from_x - b1 * from_y
    zero = tf.zeros_like(a0)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
