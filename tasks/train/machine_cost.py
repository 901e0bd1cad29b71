"""What fitting a linear machine on a Gram matrix will cost, on the machine that this runs on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_SAMPLE = 2_000_000  # pixels that are scaled to time it
_SIDE = 768  # of the square matrices that are multiplied to time it
# Counted and measured with scikit-learn 1.9, for 250 to 4,000 images of 768 to 49,152 values.
_FITS = 4  # three folds of the calibration, and all images
_ITERATIONS = 10  # of the solver for each image; 1 to 40 were seen
_SOLVING = 1 / 4  # time of an iteration for one image, in times of scaling one pixel
# Products of pixels and components in a randomized PCA: 2 for each of 7 iterations, and 4; doubled, since a matrix so
# narrow is multiplied at half the speed.
_PCA_PRODUCTS = 36
_OVERSAMPLES = 10  # components that a randomized PCA computes and drops
_BYTES_OF_PIXEL = 20  # at the peak: the pixel, two float64 of it, and part of a third
_BYTES_OF_REDUCED_PIXEL = 28  # and another one, centred
_BYTES_OF_PAIR = 16  # of images: the Gram matrix, and what folds and solver take of it


@dataclass(frozen=True)
class Cost:
    """What a fit takes: seconds, and bytes at the peak, those of the training images included."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Speed:
    """Seconds of one step on this machine, as it is loaded now.

    Attributes:
        scaling: of scaling one pixel.
        product: of one multiplication and addition within a matrix product.
    """

    scaling: float
    product: float


def measure_speed() -> Speed:
    """Time the two steps that most of a fit consists of; takes about a tenth of a second where nothing else runs."""
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (200, _SAMPLE // 200), dtype=np.uint8)
    matrix = random.random((_SIDE, _SIDE))
    return Speed(
        scaling=_seconds(lambda: StandardScaler().fit_transform(pixels)) / pixels.size,
        product=_seconds(lambda: matrix @ np.flip(matrix)) / _SIDE**3,
    )


def _seconds(step: Callable[[], Any]) -> float:
    """The median of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def estimate(images: int, pixels: int, components: int | None, classes: int, speed: Speed) -> Cost:
    """Estimated cost of a fit.

    Scaling takes time in proportion to n·d, the PCA to n·d·k, the Gram matrix to half of n²·d, since it is symmetric,
    and the solver to its iterations times n; with several classes it solves for every pair of them. How many iterations
    cannot be known beforehand: many times as many for images that no plane parts, as more images than pixels may be.

    Args:
        images: n, to train with.
        pixels: d, height times width times 3.
        components: k, of the PCA; null where there is none.
        classes: at least two.
        speed: of the machine.
    """
    products = images**2 * (components or pixels) / 2
    if components:
        products += _PCA_PRODUCTS * images * pixels * (components + _OVERSAMPLES)
    iterations = _FITS * _ITERATIONS * 2 * (1 - 1 / classes) * images**2
    seconds = speed.scaling * (images * pixels + _SOLVING * iterations) + speed.product * products
    of_pixel = _BYTES_OF_REDUCED_PIXEL if components else _BYTES_OF_PIXEL
    return Cost(seconds, images * pixels * of_pixel + images**2 * _BYTES_OF_PAIR)
