"""Images as a page shows them: small, and in the page itself."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.heat_map import Map, enlarged, laid_on
from tasks.images import Pixels

_LARGEST, _LEAST = 384, 192  # pixels of the longer side


def shrink(pixels: Pixels) -> Pixels:
    """`(height, width, 3)` with a longer side that a page has room for; few pixels become larger squares."""
    height, width, _ = pixels.shape
    longer = max(height, width)
    image = Image.fromarray(pixels)
    if longer > _LARGEST:
        size = _scaled(width, height, _LARGEST / longer)
        return np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
    if longer < _LEAST:
        return np.asarray(image.resize(_scaled(width, height, -(-_LEAST // longer)), Image.Resampling.NEAREST))
    return pixels


def _scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    return max(round(width * factor), 1), max(round(height * factor), 1)


def lay_evidence(pixels: Pixels, evidence: Map) -> Pixels:
    """The image in pale grey with the evidence over it.

    Args:
        pixels: `(height, width, 3)`, of `shrink`.
        evidence: `(rows, columns)` in 0..1.
    """
    laid: npt.NDArray[np.float64] = laid_on(pixels, enlarged(evidence, pixels.shape[:2]))
    return np.rint(laid * 255).astype(np.uint8)


def as_data_uri(pixels: Pixels) -> str:
    """The image as the address of itself: PNG where that is small, as of a few large squares, else JPEG."""
    image = Image.fromarray(pixels)
    files = {"png": io.BytesIO(), "jpeg": io.BytesIO()}
    image.save(files["png"], "PNG")
    image.save(files["jpeg"], "JPEG", quality=88)
    kind = min(files, key=lambda kind: len(files[kind].getvalue()) * (0.5 if kind == "png" else 1))
    return f"data:image/{kind};base64,{base64.b64encode(files[kind].getvalue()).decode()}"
