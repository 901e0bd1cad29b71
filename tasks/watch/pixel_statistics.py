"""Contrast and saturation of images."""

import numpy as np
import numpy.typing as npt

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's grey


def contrast(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """`(n,)` standard deviation of the grey levels of each image, 0..127.5.

    Args:
        pixels: `(n, height, width, 3)` RGB.
    """
    return np.asarray((pixels @ _LUMA).std(axis=(1, 2)), dtype=np.float64)


def saturation(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """`(n,)` mean saturation of each image, 0..1: (max - min) / max of a pixel's channels, 0 where it is black.

    The S of HSV (Smith, Color Gamut Transform Pairs, 1978).

    Args:
        pixels: `(n, height, width, 3)` RGB.
    """
    most = pixels.max(axis=-1).astype(np.float64)
    least = pixels.min(axis=-1)
    return np.asarray(((most - least) / np.maximum(most, 1)).mean(axis=(1, 2)), dtype=np.float64)
