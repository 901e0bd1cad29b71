"""Small pictures of a data set's images, written into the page itself."""

import base64
import io
import math
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw

from tasks import picture_style
from tasks.images import ImageReader, decode
from tasks.manifest import BOX_COLUMNS
from tasks.validate.wording import image_names

MAX_SIDE = 120
_QUALITY = 80
# JPEG works in blocks of 8 pixels (16 for colour): what is hardly larger would not be the image that was checked.
_LOSSLESS_UP_TO = 48
# About four seconds of decoding on one core: a thousand ordinary images, but a set of 24-megapixel photos would hold
# up the run for minutes.
PIXEL_BUDGET = 200_000_000

_Row = dict[Hashable, Any]


@dataclass(frozen=True)
class Thumbnail:
    """`uri` is a data: URI; `width` and `height` are its pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """An image as the page shows it.

    Attributes:
        size: as `160 × 120`; empty where unknown.
        split: empty where there is none.
        thumbnail: None where the image is not shown.
        absence: why it is not shown; empty where it is.
        detail: words that belong under it.
    """

    name: str
    class_name: str
    size: str
    split: str
    thumbnail: Thumbnail | None
    absence: str
    detail: str


@dataclass
class Album:
    """Takes pictures of manifest rows until its budget of decoded pixels is spent.

    What cannot be read, does not decode, or goes beyond the budget becomes a picture without a thumbnail.
    """

    table: pd.DataFrame
    reader: ImageReader
    budget: int = PIXEL_BUDGET
    _taken: dict[int, Thumbnail | str] = field(default_factory=dict)

    def show(self, rows: Iterable[int], details: Sequence[str] = ()) -> list[Picture]:
        """Pictures of the rows at these positions of the table, each with its detail."""
        some = self.table.loc[list(rows)]
        names, words = image_names(some), list(details) or [""] * len(some)
        records = zip(some.index, names, some.to_dict("records"), words, strict=True)
        return [self._picture(int(position), name, row, word) for position, name, row, word in records]

    def _picture(self, position: int, name: str, row: _Row, detail: str) -> Picture:
        """Each image is decoded once, however often it is shown."""
        if position not in self._taken:
            self._taken[position] = self._take(row)
        taken = self._taken[position]
        return Picture(
            name=name,
            class_name=str(row["class_name"]),
            size="" if pd.isna(row["width"]) else f"{row['width']} × {row['height']}",
            split="" if pd.isna(row["split"]) else str(row["split"]),
            thumbnail=taken if isinstance(taken, Thumbnail) else None,
            absence=taken if isinstance(taken, str) else "",
            detail=detail,
        )

    def _take(self, row: _Row) -> Thumbnail | str:
        """The thumbnail, or why there is none."""
        pixels = _pixels_of(row)
        if pixels > self.budget:
            return "not shown, to keep the page quick"
        self.budget -= pixels
        image = self._decode(row)
        return "cannot be shown" if image is None else make_thumbnail(image, _box_of(row))

    def _decode(self, row: _Row) -> Image.Image | None:
        path: str | None = None if pd.isna(row["path"]) else str(row["path"])
        index: int | None = None if pd.isna(row["index"]) else int(row["index"])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of broken metadata, which the checks have told
                return Image.fromarray(decode(self.reader.read(path, index)).pixels)
        except (OSError, ValueError, LookupError, Image.DecompressionBombError):
            return None


def make_thumbnail(image: Image.Image, box: tuple[float, ...] | None) -> Thumbnail:
    """The RGB image within a square of `MAX_SIDE` pixels, never enlarged.

    Args:
        box: x, y, width, height as fractions of the image, to be drawn; or None.
    """
    small = image.reduce(max(max(image.size) // (2 * MAX_SIDE), 1))  # cheap, and leaves enough for the filter
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    if box is not None:
        _draw_box(small, box)
    buffer = io.BytesIO()
    if max(small.size) <= _LOSSLESS_UP_TO:
        small.save(buffer, "PNG")
        kind = "png"
    else:
        small.save(buffer, "JPEG", quality=_QUALITY)
        kind = "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return Thumbnail(uri, *small.size)


def _draw_box(image: Image.Image, box: tuple[float, ...]) -> None:
    """A dark line about a bright one, seen on any ground; what lies outside the image is cut off."""
    x, y, width, height = box
    corners = (x * image.width, y * image.height, (x + width) * image.width - 1, (y + height) * image.height - 1)
    left, top, right, bottom = (round(min(max(corner, -9), 9 + max(image.size))) for corner in corners)
    if right < left or bottom < top:
        return
    draw = ImageDraw.Draw(image)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=picture_style.INK)
    draw.rectangle((left, top, right, bottom), outline=picture_style.SECOND, width=2 if min(image.size) > 64 else 1)


def _pixels_of(row: _Row) -> int:
    """Of the image as stored; 0 where nothing is known, as such an image did not decode."""
    return 0 if pd.isna(row["width"]) else int(row["width"] * row["height"])


def _box_of(row: _Row) -> tuple[float, ...] | None:
    box = tuple(float(row[column]) for column in BOX_COLUMNS)
    return box if all(math.isfinite(side) for side in box) else None
