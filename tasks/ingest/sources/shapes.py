"""Generated images of one shape each on noise, with its box: to try things out without any data.

A shape has a random colour, place and size, and so its form alone tells its class.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw
from pydantic import Field

from pipeline_config.section import Section
from tasks.image_store import write_store
from tasks.ingest.found import Description, FoundImages
from tasks.ingest.kept_store import keep, read_kept

CLASS_NAMES = ("circle", "square", "triangle", "ring", "cross", "star")
_FINENESS = 4  # a mask is drawn so many times as large and then reduced, for smooth edges
_NOISE = 25.0  # standard deviation of the grey levels around the background's colour
_CONTRAST = 100.0  # least distance of the shape's colour from the background's, of 441 from black to white
_SMALLEST, _LARGEST = 0.3, 0.8  # of the image's side

_Array = npt.NDArray[np.float64]


class _Place(NamedTuple):
    """Pixels from the image's left and top edge, and the side of the square that the shape fills."""

    left: int
    top: int
    side: int


class Options(Section):
    """How many classes, how many images in all, and their sides in pixels."""

    classes: int = Field(4, ge=2, le=len(CLASS_NAMES))
    count: int = Field(1_200, ge=1)
    size: int = Field(64, ge=16, le=1_024)
    seed: int = Field(0, ge=0)


def describe(options: Options) -> Description:
    """As many images of each class, or one more of the first ones."""
    names = CLASS_NAMES[: options.classes]
    return Description(names, (options.size, options.size), options.count, FoundImages(_table(options), names))


def list_images(options: Options, storage: Path) -> FoundImages:
    """All images, as PNG in a store that is written once for the same options; the same on every run."""
    name = f"{options.classes}-classes-{options.count}-images-{options.size}-pixels-seed-{options.seed}.arrow"
    store = storage / "shapes" / name
    table = read_kept(store)
    if table is None:
        table = _table(options)
        write_store(store, (_png(options, index) for index in range(options.count)))
        keep(store, table)
    return FoundImages(table, CLASS_NAMES[: options.classes], store=store)


def _table(options: Options) -> pd.DataFrame:
    places = [_draw_place(_random(options, index), options.size) for index in range(options.count)]
    labels = np.arange(options.count) % options.classes
    table = pd.DataFrame(places, columns=["box_x", "box_y", "box_width"]) / options.size
    table["box_height"] = table["box_width"]
    names = [CLASS_NAMES[label] for label in labels]
    return table.assign(source="shapes", index=range(options.count), label=labels, class_name=names, split=None)


def _random(options: Options, index: int) -> np.random.Generator:
    """Each image has a generator of its own, so that it is the same however many there are."""
    return np.random.default_rng((options.seed, index))


def _draw_place(random: np.random.Generator, size: int) -> _Place:
    side = int(random.integers(round(_SMALLEST * size), round(_LARGEST * size), endpoint=True))
    left, top = random.integers(0, size - side, size=2, endpoint=True).tolist()
    return _Place(left, top, side)


def _png(options: Options, index: int) -> bytes:
    """One image; what is drawn of its generator begins with the place, as in the table."""
    random = _random(options, index)
    place = _draw_place(random, options.size)
    background, colour = _draw_colours(random)
    mask = _mask(CLASS_NAMES[index % options.classes], place, options.size)
    noise = random.normal(0, _NOISE, (options.size, options.size, 3))
    pixels = background + mask[..., np.newaxis] * (colour - background) + noise
    encoded = io.BytesIO()
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(encoded, format="PNG", compress_level=1)
    return encoded.getvalue()


def _draw_colours(random: np.random.Generator) -> tuple[_Array, _Array]:
    """Colours of the background and the shape, far enough apart to be told from each other in the noise."""
    while True:
        background, colour = random.uniform(0, 255, (2, 3))
        if np.linalg.norm(colour - background) >= _CONTRAST:
            return background, colour


def _mask(name: str, place: _Place, size: int) -> _Array:
    """The share of each pixel that the shape covers: `(size, size)` float64, 0..1."""
    fine = Image.new("L", (place.side * _FINENESS,) * 2)
    _DRAW[name](ImageDraw.Draw(fine), fine.width - 1)
    mask = np.zeros((size, size))
    rows, columns = (slice(start, start + place.side) for start in (place.top, place.left))
    mask[rows, columns] = np.asarray(fine.reduce(_FINENESS)) / 255
    return mask


def _draw_circle(draw: ImageDraw.ImageDraw, end: int) -> None:
    draw.ellipse((0, 0, end, end), fill=255)


def _draw_square(draw: ImageDraw.ImageDraw, end: int) -> None:
    draw.rectangle((0, 0, end, end), fill=255)


def _draw_triangle(draw: ImageDraw.ImageDraw, end: int) -> None:
    draw.polygon([(end / 2, 0), (end, end), (0, end)], fill=255)


def _draw_ring(draw: ImageDraw.ImageDraw, end: int) -> None:
    draw.ellipse((0, 0, end, end), fill=255)
    draw.ellipse((end / 4, end / 4, end * 3 / 4, end * 3 / 4), fill=0)


def _draw_cross(draw: ImageDraw.ImageDraw, end: int) -> None:
    draw.rectangle((0, end / 3, end, end * 2 / 3), fill=255)
    draw.rectangle((end / 3, 0, end * 2 / 3, end), fill=255)


def _draw_star(draw: ImageDraw.ImageDraw, end: int) -> None:
    """Five points, stretched to touch all four sides."""
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 0.4, 1.0)
    corners = np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)
    corners = (corners - corners.min(axis=0)) / np.ptp(corners, axis=0) * end
    draw.polygon([(x, y) for x, y in corners.tolist()], fill=255)


_DRAW: dict[str, Callable[[ImageDraw.ImageDraw, int], None]] = {
    "circle": _draw_circle,
    "square": _draw_square,
    "triangle": _draw_triangle,
    "ring": _draw_ring,
    "cross": _draw_cross,
    "star": _draw_star,
}
