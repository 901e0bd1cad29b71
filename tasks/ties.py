"""What noise alone may part: values within the best's interval, and costs that the clock cannot tell apart."""

import math

AS_MANY = 1.01
"""Times the parameters: no more than that is as many."""
_SHORTER = 0.9  # of the time: what is not below is as long, for the clock is not more exact


def is_tied(value: float, best: float, interval: tuple[float, float] | None) -> bool:
    """Whether a value lies within the 95 % interval of the best one; where that is not known, whether it is the same.

    Args:
        value: of another.
        best: the best value.
        interval: its ends, or None.
    """
    low, high = interval or (math.inf, -math.inf)
    return value == best or low <= value <= high


def is_faster(seconds: float, others: float) -> bool:
    """Whether a time is clearly shorter than another one; nothing is known to be faster than what was not measured."""
    return math.isfinite(others) and seconds <= _SHORTER * others
