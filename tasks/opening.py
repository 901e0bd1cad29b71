"""Files that may or may not be images -> pixels at the size that a model was trained at, or a sentence on why not."""

import errno
import importlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from tasks.images import DecodedImage, Pixels, decode
from tasks.input_pipeline import resize

Item = TypeVar("Item")

MOST_BYTES = 32_000_000
"""Larger files are not opened; a photograph has a few million bytes."""
_LEAST_SIDE = 4  # pixels, as `validation.min_side` has it unless it is set
_AT_ONCE = 64  # images that are decoded before they are handed on; memory holds these
_FOREIGN_COLOURS = {"CMYK", "YCbCr", "LAB", "HSV"}


@dataclass(frozen=True)
class Opened:
    """One file.

    Attributes:
        path: as it was named.
        pixels: `(height, width, 3)` uint8 RGB; None where the file cannot be used.
        note: why it cannot be used, or what was done to it, in a sentence; empty where there is nothing to say.
    """

    path: str
    pixels: Pixels | None
    note: str = ""


def find_files(root: Path) -> Iterator[str]:
    """Paths below a folder, relative to it, at any depth; hidden ones are other programs' leftovers."""
    for above, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (str(Path(above, name).relative_to(root)) for name in names if not name.startswith("."))


def read_file(path: str) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it is none, cannot be read, or is larger than `MOST_BYTES`.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # on a pipe a reader would else wait
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "not a file", path)
        check_bytes(about.st_size)
        return file.read(MOST_BYTES + 1)


def check_bytes(count: int) -> None:
    """Refuse what is larger than `MOST_BYTES`.

    Raises:
        OSError: it is.
    """
    if count > MOST_BYTES:
        raise OSError(
            f"expected at most {MOST_BYTES / 1e6:.0f} MB; received {count / 1e6:,.1f} MB; save the picture smaller"
        )


def open_files(
    paths: Sequence[str], image_size: tuple[int, int], read: Callable[[str], bytes] = read_file
) -> Iterator[Opened]:
    """Each file, in order: read, decoded and resized as the images that models learn from were; in threads.

    Args:
        paths: of the files.
        image_size: height and width in pixels.
        read: gives the bytes of a path, or raises an OSError or a ValueError.
    """
    importlib.import_module("tensorflow")  # threads that import it at once see each other's half-made modules
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), _AT_ONCE):
            yield from threads.map(lambda path: _open(path, image_size, read), paths[start : start + _AT_ONCE])


def in_batches(opened: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """So many at a time, the last ones fewer."""
    waiting = iter(opened)
    while some := list(islice(waiting, size)):
        yield some


def _open(path: str, image_size: tuple[int, int], read: Callable[[str], bytes]) -> Opened:
    try:
        return open_image(path, read(path), image_size)
    except (OSError, ValueError) as error:
        return Opened(path, None, why_not_opened(error))


def open_image(path: str, encoded: bytes, image_size: tuple[int, int]) -> Opened:
    """An encoded image, decoded and resized.

    Args:
        path: or another name of the image.
        encoded: content of its file.
        image_size: height and width in pixels.
    """
    try:
        image = decode(encoded)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return Opened(path, None, why_not_opened(error))
    return open_pixels(path, image.pixels, image_size, what_was_done(image))


def open_pixels(path: str, pixels: Pixels, image_size: tuple[int, int], note: str = "") -> Opened:
    """An image that is decoded, resized.

    Args:
        path: or another name of the image.
        pixels: `(height, width, 3)` uint8 RGB.
        image_size: height and width in pixels.
        note: what was done to it.
    """
    height, width, _ = pixels.shape
    if min(height, width) < _LEAST_SIDE:
        return Opened(path, None, f"{width}×{height} pixels show nothing; expected at least {_LEAST_SIDE} a side")
    return Opened(path, resize(pixels, image_size), note)


def what_was_done(image: DecodedImage) -> str:
    """Whatever may surprise somebody who knows the file; empty where nothing may."""
    done = {
        "it holds several pictures, of which the first was taken": image.several,
        f"its {image.mode} colours were converted to RGB": image.mode in _FOREIGN_COLOURS,
        "it was turned upright by its EXIF orientation": image.turned,
    }
    return "; ".join(what for what, is_done in done.items() if is_done)


def why_not_opened(error: Exception) -> str:
    """In words that are the same on every machine; Pillow's own name an address in memory."""
    what = "not an image" if isinstance(error, UnidentifiedImageError) else getattr(error, "strerror", None) or error
    return f"cannot be opened: {what}"
