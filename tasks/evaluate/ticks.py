"""Ticks for a scale of square roots, on which numbers of rows stand."""

import numpy as np
import numpy.typing as npt


def round_numbers(highest: float) -> npt.NDArray[np.float64]:
    """The numbers 1, 2, 5, 10, 20, 50, … of the two decades up to `highest`, which is at least 1."""
    numbers = np.outer(10.0 ** np.arange(9), [1, 2, 5]).ravel()
    return numbers[(numbers >= highest / 100) & (numbers <= highest)]
