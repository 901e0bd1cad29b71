"""Encoded images -> pixels, in one way for every stage: checks, training and evaluation decode nowhere else."""

import errno
import io
import itertools
import mmap
import os
import stat
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import ExifTags, Image, ImageOps

_READS_BETWEEN_RELEASES = 16
_TURNED = range(2, 9)  # orientations other than upright, which is 1 (Exif 2.32, tag 0x0112)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageReader:
    """Reads the encoded bytes of manifest rows; small to pickle, opens its store when first used.

    Attributes:
        root: folder that a row's `path` starts from.
        store: Arrow file with a binary column `image` that a row's `index` counts in.
    """

    root: Path | None
    store: Path | None

    @cached_property
    def _mapped(self) -> mmap.mmap:
        if self.store is None:
            raise ValueError("a row with an index, but no store to find it in")
        with self.store.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @cached_property
    def _images(self) -> pa.ChunkedArray:
        return pa.ipc.open_file(pa.py_buffer(self._mapped)).read_all().column("image")

    @cached_property
    def _reads(self) -> "itertools.count[int]":
        return itertools.count(1)

    def _read_stored(self, index: int) -> bytes:
        """Pages that were touched count as the process's own memory, which must not grow with the store."""
        encoded = bytes(self._images[index].as_buffer())
        if next(self._reads) % _READS_BETWEEN_RELEASES == 0:
            self._mapped.madvise(mmap.MADV_DONTNEED)
        return encoded

    @cached_property
    def _folder(self) -> Path:
        """The root, symbolic links followed."""
        return Path(os.path.realpath(self.root or ""))

    def __getstate__(self) -> dict[str, Path | None]:
        return {"root": self.root, "store": self.store}

    def read(self, path: str | None, index: int | None) -> bytes:
        """The encoded bytes of one image.

        Raises:
            OSError: the file is missing, cannot be read, or is not in the data folder.
            ValueError: the row points nowhere.
        """
        if index is not None:
            return self._read_stored(index)
        file = self.locate(path)
        if not stat.S_ISREG(file.stat().st_mode):  # on a pipe a reader would wait for ever
            raise OSError(errno.EINVAL, "not a regular file", path)
        return file.read_bytes()

    def locate(self, path: str | None) -> Path:
        """The file below the root, symbolic links followed. Whoever fills a data folder must not reach beyond it.

        Raises:
            OSError: it leads out of the data folder, by a link, `..` or a path of its own.
            ValueError: the row points nowhere.
        """
        if path is None or self.root is None:
            raise ValueError("a row with neither a path below a root nor an index")
        if "\0" in path:
            raise OSError(errno.EINVAL, "not a name that a file can have", path)
        file = Path(os.path.realpath(self._folder / path))
        if not file.is_relative_to(self._folder):
            raise OSError(errno.EXDEV, "leads out of the data folder", path)
        return file


@dataclass(frozen=True)
class DecodedImage:
    """One image.

    Attributes:
        pixels: upright, `(height, width, 3)` uint8 RGB.
        mode: Pillow's mode of the stored image, as RGB or L.
        format: Pillow's name of the real format, as JPEG; None where Pillow has none.
        several: whether the file holds further pictures, as the frames of an animation.
        turned: whether its EXIF orientation says that it is not stored upright.
    """

    pixels: Pixels
    mode: str
    format: str | None
    several: bool = False
    turned: bool = False


def decode(encoded: bytes) -> DecodedImage:
    """Decode one image fully, the first frame of an animation: upright by its EXIF orientation, RGB.

    Raises:
        OSError: no image, truncated, or broken.
        PIL.Image.DecompressionBombError: more pixels than Pillow takes for harmless, told before decoding.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                mode, kind = image.mode, image.format  # what is turned upright has no format any more
                _refuse_program(kind)
                turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
                pixels = np.asarray(_as_rgb(ImageOps.exif_transpose(image), kind))
                return DecodedImage(pixels, mode, kind, _holds_several(image), turned)
        except Image.DecompressionBombWarning as warning:
            raise Image.DecompressionBombError(str(warning)) from None
        except (OSError, Image.DecompressionBombError):
            raise
        # For broken files Pillow's plugins raise nearly anything; to a caller it is one thing.
        except Exception as error:
            raise OSError(str(error) or type(error).__name__) from error


def _holds_several(image: Image.Image) -> bool:
    """Asked once the first picture is decoded: what follows it may be broken, and is not wanted."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:
        return True


def _refuse_program(kind: str | None) -> None:
    """Data are not to be executed, and Pillow would start Ghostscript for EPS."""
    if kind == "EPS":
        raise OSError("EPS is a program, which is not run; convert it to PNG")


def _as_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    """RGB; 16-bit grey levels are scaled to 8 bits, which Pillow's own conversion would clip.

    What is transparent is laid on white, as most viewers show it. Pillow's own conversion only drops the transparency,
    and uncovers colours that nobody has seen: leftovers of editing, mostly black.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):  # Pillow's 16-bit PPM is I, 0..65535
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image.convert("RGB")
