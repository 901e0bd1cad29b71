"""Where the evidence lies, as colours laid on the image."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.images import Pixels
from tasks.picture_style import SECOND, WRONG

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_COVER = 0.6  # at most so much of the image is covered
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

Map = npt.NDArray[np.float32]


def enlarged(evidence: Map, size: tuple[int, ...]) -> Map:
    """The map in an image's height and width, bicubic."""
    from PIL import Image

    height, width = size
    image = Image.fromarray(evidence.astype(np.float32))
    fine: Map = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    return fine.clip(0, 1)


def laid_on(pixels: Pixels, evidence: Map) -> npt.NDArray[np.float64]:
    """`(height, width, 3)` in 0..1: the image in pale grey, and the evidence's colour over it the more there is."""
    grey = 0.35 + 0.65 * (pixels @ np.array(_LUMA) / 255)[..., None]
    cover = _COVER * evidence[..., None]
    laid: npt.NDArray[np.float64] = (1 - cover) * grey + cover * evidence_colours()(evidence)[..., :3]
    return np.clip(laid, 0, 1)


def evidence_colours() -> "Colormap":
    """Pale yellow, orange, dark red: from little to much."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("evidence", ["#fdf3d8", "#f3c06e", SECOND, WRONG, "#5e0b0d"])
