"""Charts as plain geometry, which the page's template draws as SVG in the colours of the page.

All positions are in units of the drawing, about a pixel each, from its upper left corner.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.validate.wording import count_of

BRIGHTNESS_BINS = 32
SIZE_BINS = 40
# Beyond this ratio of the largest side to the smallest, a linear axis would put most images into one corner.
_LINEAR_UP_TO = 6.0

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    position: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A rectangle that stands for images; `strength` 0..1 is how strongly it is coloured."""

    x: float
    y: float
    width: float
    height: float
    title: str
    strength: float = 1.0


@dataclass(frozen=True)
class Chart:
    """A plot of `width` × `height` with its marks and ticks; labels stand outside of it."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    y_label: str
    description: str


def draw_brightness(levels: pd.Series, width: float = 400, height: float = 180) -> Chart:
    """Histogram of mean grey levels, 0..255; at least one of them is known."""
    counts, edges = np.histogram(levels.dropna(), bins=BRIGHTNESS_BINS, range=(0, 256))
    top = max(int(counts.max()), 1)
    step = width / BRIGHTNESS_BINS
    marks = tuple(
        Mark(
            i * step + 0.5,
            height * (1 - n / top),
            step - 1,
            height * n / top,
            f"{low:g} to {low + 8:g}: {count_of(n, 'image')}",
        )
        for i, (n, low) in enumerate(zip(counts.tolist(), edges[:-1].tolist(), strict=True))
        if n
    )
    return Chart(
        width,
        height,
        marks,
        x_ticks=tuple(Tick(width * level / 256, str(level)) for level in (0, 64, 128, 192, 255)),
        y_ticks=tuple(Tick(height * (1 - n / top), f"{n:,g}") for n in round_numbers(0, top, 4) if n == int(n)),
        x_label="mean grey level of the image",
        y_label="images",
        description=f"Histogram of the brightness of {int(counts.sum()):,} images, median {levels.median():.0f} of 255",
    )


def draw_sizes(widths: pd.Series, heights: pd.Series, side: float = 300) -> Chart:
    """Two-dimensional histogram of width and height, in pixels > 0, on one scale: logarithmic where they span far."""
    low, high = float(min(widths.min(), heights.min())), float(max(widths.max(), heights.max()))
    logarithmic = high / low > _LINEAR_UP_TO
    low, high = low / 1.08, high * 1.08
    edges = (np.geomspace if logarithmic else np.linspace)(low, high, SIZE_BINS + 1)
    counts, _, _ = np.histogram2d(widths.astype(float), heights.astype(float), bins=(edges, edges))
    scale = _scale(low, high, side, logarithmic)
    numbers = round_series(low, high) if logarithmic else round_numbers(low, high, 5)
    return Chart(
        side,
        side,
        _cells(counts, edges, side),
        x_ticks=tuple(Tick(scale(number), f"{number:g}") for number in numbers),
        y_ticks=tuple(Tick(side - scale(number), f"{number:g}") for number in numbers),
        x_label="width, pixels" + (" (logarithmic)" if logarithmic else ""),
        y_label="height, pixels",
        description=f"Width and height of {len(widths):,} images, darker where there are more",
    )


def _scale(low: float, high: float, side: float, logarithmic: bool) -> Callable[[float], float]:
    """Pixels -> place on an axis."""
    if logarithmic:
        return lambda value: side * math.log(value / low) / math.log(high / low)
    return lambda value: side * (value - low) / (high - low)


def _cells(counts: _Floats, edges: _Floats, side: float) -> tuple[Mark, ...]:
    """Only cells that have images; logarithmic strength, so that a single image is still seen."""
    step = side / SIZE_BINS
    top = math.log1p(counts.max())
    return tuple(
        Mark(
            x=column * step,
            y=side - (row + 1) * step,
            width=step,
            height=step,
            title=f"{_between(edges, column)} × {_between(edges, row)}: {count_of(int(counts[column, row]), 'image')}",
            strength=round(0.25 + 0.75 * math.log1p(counts[column, row]) / top, 3),
        )
        for column, row in np.argwhere(counts > 0).tolist()
    )


def _between(edges: _Floats, position: int) -> str:
    """The whole numbers of pixels in a bin."""
    first, last = math.ceil(edges[position]), math.ceil(edges[position + 1]) - 1
    return f"{first}" if last <= first else f"{first}–{last}"


def round_numbers(low: float, high: float, about: int) -> list[float]:
    """About so many multiples of 1, 2 or 5 times a power of ten, from low to high, which is more."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def round_series(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from low to high, both > 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [number for power in powers for factor in (1, 2, 5) if low <= (number := factor * 10.0**power) <= high]
