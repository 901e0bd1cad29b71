"""Small pictures of test images, written into the page itself."""

import base64
import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tasks import manifest as manifests
from tasks.image_id import image_id
from tasks.images import ImageReader, Pixels, decode

_MAX_SIDE = 128
_QUALITY = 80
# JPEG works in blocks of 8 pixels (16 for colour): what is hardly larger would not be the image that was classified.
_LOSSLESS_UP_TO = 48


@dataclass(frozen=True)
class Thumbnails:
    """Pictures of a group's images.

    Attributes:
        uris: image id -> data: URI; an image that is gone, or is another one by now, has none.
        missing: why there are none at all, in a sentence; empty where they were looked for.
    """

    uris: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


NOT_AT_HAND = Thumbnails(missing="The images are not at hand.")


def take_thumbnails(manifest: Path, reader: ImageReader, image_ids: Iterable[str]) -> Thumbnails:
    """Pictures of these test images, each only where it has the pixels that its id names.

    Args:
        manifest: the table of `tasks/manifest.py`.
        reader: knows where its images are now.
    """
    rows = manifests.usable(manifests.read(manifest), "test")
    wanted = rows[rows["image_id"].isin(list(image_ids))].drop_duplicates("image_id")
    columns = wanted[["image_id", "path", "index"]].astype(object)
    places = columns.where(columns.notna(), None).itertuples(index=False, name=None)
    pixels = ((expected, _read(reader, expected, path, index)) for expected, path, index in places)
    return Thumbnails({expected: _as_uri(image) for expected, image in pixels if image is not None})


def _read(reader: ImageReader, expected: str, path: str | None, index: int | None) -> Pixels | None:
    """The pixels, or None where the image is not what it was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken metadata, which the data's checks have told
            pixels = decode(reader.read(path, index)).pixels
    except (OSError, ValueError, LookupError, Image.DecompressionBombError):
        return None
    return pixels if image_id(pixels) == expected else None


def _as_uri(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_MAX_SIDE, _MAX_SIDE))
    buffer = io.BytesIO()
    kind = "png" if max(image.size) <= _LOSSLESS_UP_TO else "jpeg"
    image.save(buffer, kind, quality=_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
