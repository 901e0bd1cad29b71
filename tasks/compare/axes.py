"""Axes of the page's charts: where values stand on them, and their ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_TICKS = 5
_PADDING = 0.05  # of the axis at either end, so that no mark is cut off
_NARROW = 1.3  # a logarithmic axis spans at least this ratio to either side of its middle
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Axis:
    """A stretch of `length` units of the drawing, from the value `low` to `high`.

    Attributes:
        upward: whether it runs from the lower end of the drawing to the upper one, at 0.
    """

    low: float
    high: float
    length: float
    logarithmic: bool = False
    upward: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, in 0..length for those from low to high."""
        low, high, here = (math.log(end) if self.logarithmic else end for end in (self.low, self.high, value))
        share = (here - low) / (high - low)
        return round(self.length * (1 - share if self.upward else share), 2)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Place and text of each tick: few round numbers."""
        numbers = _powers(self.low, self.high) if self.logarithmic else []
        if len(numbers) < 2:
            numbers = _multiples(self.low, self.high)
        return tuple((self.place(number), _short(number)) for number in numbers)


def make_axis(values: Iterable[float], length: float, logarithmic: bool = False, upward: bool = False) -> Axis:
    """An axis on which all values stand, with some room at its ends.

    Args:
        values: at least one; finite, and > 0 where the axis is logarithmic.
    """
    values = list(values)
    low, high = min(values), max(values)
    if logarithmic:
        room = max((high / low) ** _PADDING, _NARROW if high / low < _NARROW else 1.0)
        return Axis(low / room, high * room, length, True, upward)
    room = (high - low) * _PADDING or max(abs(high) * _PADDING, 0.01)
    return Axis(low - room, high + room, length, False, upward)


def _multiples(low: float, high: float) -> list[float]:
    """A few multiples of 1, 2 or 5 times a power of ten."""
    from matplotlib.ticker import MaxNLocator

    numbers = MaxNLocator(_TICKS, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(number) for number in numbers if low <= number <= high]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten; with their doubles and fives where those alone would be too few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        numbers = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        inside = [number for number in numbers if low <= number <= high]
        if len(inside) >= 3:
            break
    return inside


def _short(number: float) -> str:
    """`0.25`, `200`, `5k`, `1.5M`."""
    for size, suffix in _SUFFIXES:
        if number >= size:
            return f"{number / size:.6g}{suffix}"
    return f"{number:.6g}"
