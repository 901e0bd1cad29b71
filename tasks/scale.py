"""The scale that the bars of a table are drawn on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A stretch of values with round ends; `ticks` from its low end to its high."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Where a value stands on the scale, 0..100; one beyond it stands at its end."""
        return round(min(max(100 * (value - self.low) / (self.high - self.low), 0.0), 100.0), 3)

    def holds(self, value: float) -> bool:
        """Whether the value is on the scale."""
        return self.low <= value <= self.high
