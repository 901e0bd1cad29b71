"""Images as Fourier spectra in decorrelated colours, the space in which gradient ascent finds structure.

Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017 (doi:10.23915/distill.00007), "Preconditioning and
parameterization": ascent on pixels ends in high-frequency noise; with equal steps for each frequency, scaled to the
spectrum of natural images, and for each of their principal colours, it does not. The numbers are those of the authors'
code (lucid, `fft_image` and `to_valid_rgb`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_DEVIATION = 0.01  # of the first noise, which is nearly grey
_DAMPING = 0.25
# Root of the covariance of ImageNet's colours, over the largest length of a column.
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
_COLOURS /= np.linalg.norm(_COLOURS, axis=0).max()


def noise(images: int, size: tuple[int, int], seed: int) -> npt.NDArray[np.float32]:
    """Spectra `(images, 2, 3, height, width // 2 + 1)`, real and imaginary part, of nearly grey images."""
    height, width = size
    shape = (images, 2, 3, height, width // 2 + 1)
    return np.random.default_rng(seed).normal(0, _DEVIATION, shape).astype(np.float32)


def to_pixels(spectra: Any, size: tuple[int, int]) -> Any:
    """Images `(images, height, width, 3)` in 0..255 of spectra as `noise` makes them; differentiable."""
    import tensorflow as tf

    scaled = spectra * _natural(size)
    planes = tf.signal.irfft2d(tf.complex(scaled[:, 0], scaled[:, 1]), fft_length=size)
    colours = tf.transpose(planes, (0, 2, 3, 1)) * _DAMPING
    return 255 * tf.sigmoid(tf.matmul(colours, tf.constant(_COLOURS.T)))


def _natural(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """`(height, width // 2 + 1)`: amplitudes of natural images, which fall as one over the frequency."""
    height, width = size
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    scale = np.sqrt(height * width) / np.maximum(frequencies, 1 / max(size))
    return np.asarray(scale, np.float32)
