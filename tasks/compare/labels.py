"""Places for names in a chart, so that none covers another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

LINE = 13.0
"""Height of a line of text, in units of the drawing."""
_CHARACTER = 6.4  # width of one in the widest of the page's fonts, on average
_GAP = 6.0  # between a point and its name
_LINES_AWAY = 8
_LONGEST = 20


@dataclass(frozen=True)
class Box:
    """A rectangle; `x`, `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def covers(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        beside = self.x + self.width <= other.x or other.x + other.width <= self.x
        above = self.y + self.height <= other.y or other.y + other.height <= self.y
        return not beside and not above

    def holds(self, other: "Box") -> bool:
        """Whether the other stands wholly within."""
        across = self.x <= other.x and other.x + other.width <= self.x + self.width
        return across and self.y <= other.y and other.y + other.height <= self.y + self.height


@dataclass(frozen=True)
class Label:
    """A text and the box it stands in."""

    text: str
    box: Box


def place_labels(
    points: Sequence[tuple[float, float]], names: Sequence[str], marks: Sequence[Box], chart: Box
) -> list[Label | None]:
    """A label near each point that covers no other label and no mark; the first points are served first.

    Args:
        points: within the chart.
        names: one a point; a name that finds no place is told by its first word alone.
        marks: what is drawn in the chart.

    Returns:
        One a point; None where there is no place at all.
    """
    labels: list[Label | None] = []
    for point, name in zip(points, names, strict=True):
        taken = [*marks, *(label.box for label in labels if label)]
        labels.append(_first_free(_candidates(point, name), taken, chart))
    return labels


def _first_free(candidates: Iterable[Label], taken: Sequence[Box], chart: Box) -> Label | None:
    free = (one for one in candidates if chart.holds(one.box) and not any(map(one.box.covers, taken)))
    return next(free, None)


def _candidates(point: tuple[float, float], name: str) -> Iterator[Label]:
    """Right and left of the point, then line by line further away; the short text last."""
    x, y = point
    for text in (shorten(name), name.split()[0]):
        width = _CHARACTER * len(text)
        for away in sorted(range(-_LINES_AWAY, _LINES_AWAY + 1), key=abs):
            for left in (x + _GAP, x - _GAP - width):
                yield Label(text, Box(left, y - LINE / 2 + away * LINE, width, LINE))


def shorten(text: str, most: int = _LONGEST) -> str:
    """The text, or its ends about an ellipsis: names often differ only in their last part."""
    head = most // 2
    return text if len(text) <= most else f"{text[:head].rstrip()}…{text[head + 1 - most :].lstrip()}"


def spread(wanted: Sequence[float], gap: float, high: float) -> list[float]:
    """Places in 0..high, at least `gap` apart, in the order of the wanted ones and near them.

    Where there is no room for all, those at the lower end are below 0.
    """
    places = [0.0] * len(wanted)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    least = 0.0
    for i in order:
        places[i] = max(wanted[i], least)
        least = places[i] + gap
    most = high
    for i in reversed(order):
        places[i] = min(places[i], most)
        most = places[i] - gap
    return places
