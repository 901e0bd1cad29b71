"""Encoded images -> pixels, in one way for every stage."""

import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageOps

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
    def _images(self) -> pa.ChunkedArray:
        if self.store is None:
            raise ValueError("a row with an index, but no store to find it in")
        return pa.ipc.open_file(pa.memory_map(str(self.store))).read_all().column("image")

    def __getstate__(self) -> dict[str, Path | None]:
        return {"root": self.root, "store": self.store}

    def read(self, path: str | None, index: int | None) -> bytes:
        """The encoded bytes of one image.

        Raises:
            OSError: the file is missing or cannot be read.
        """
        if index is not None:
            return bytes(self._images[index].as_buffer())
        if self.root is None or path is None:
            raise ValueError("a row with neither a path below a root nor an index")
        return (self.root / path).read_bytes()


@dataclass(frozen=True)
class DecodedImage:
    """Pixels of one image, upright, `(height, width, 3)` uint8 RGB, and Pillow's mode of the stored image."""

    pixels: Pixels
    mode: str


def decode(encoded: bytes) -> DecodedImage:
    """Decode one image fully: upright by its EXIF orientation, RGB.

    Raises:
        OSError: no image, truncated, or broken.
        PIL.Image.DecompressionBombError: more pixels than Pillow takes for harmless, told before decoding.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                mode = image.mode
                upright = ImageOps.exif_transpose(image)
                return DecodedImage(np.asarray(_as_rgb(upright)), mode)
        except Image.DecompressionBombWarning as warning:
            raise Image.DecompressionBombError(str(warning)) from None
        except (OSError, Image.DecompressionBombError):
            raise
        except (
            Exception
        ) as error:  # for broken files Pillow's plugins raise nearly anything; to a caller it is one thing
            raise OSError(str(error) or type(error).__name__) from error


def _as_rgb(image: Image.Image) -> Image.Image:
    """RGB; 16-bit grey levels are scaled to 8 bits, which Pillow's own conversion would clip."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
