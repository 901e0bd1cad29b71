"""The size of images that nobody has opened yet."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from PIL import Image


def first_size(root: Path, paths: Iterable[str]) -> tuple[int, int] | None:
    """Height and width, as stored, of the first image that can be opened; None where there is none."""
    return next((size for path in paths if (size := _size(root / path))), None)


def _size(path: Path) -> tuple[int, int] | None:
    try:
        if not path.is_file():  # a named pipe would never answer; a name that is too long raises
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; the checks of the images tell it
            with Image.open(path) as image:
                return image.height, image.width
    except Exception:  # for broken files Pillow's plugins raise nearly anything
        return None
