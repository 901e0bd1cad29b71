"""Where the boxes of a drawing stand, in points from the top left: columns that fill a page, and lines between."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks import picture_style
from tasks.train.layer_graph.boxes import Box, Column, Lanes

SIZE = 9.0  # of the text
LINE = 12.0
PADDING = 4.0
_BOLD = 1.15  # how much wider bold letters are

_SIDE_PADDING = 7.0
_GAP = 13.0  # between two boxes, for the arrow
_BAR = 11.0  # between a box's lane and the line that leads to all lanes
_LANE_GAP = 10.0
_PASSING = 12.0  # width of a lane without boxes
_COLUMN_GAP = 34.0
_TURN = 9.0  # how far a line runs on before it turns to the next column

_PAGE = (600.0, 420.0)  # what MLflow shows without making it smaller, 1000×800 pixels less the title and the legend
_MOST_COLUMNS = 12

Point = tuple[float, float]


@dataclass(frozen=True)
class Placed:
    """A box with its left upper corner and its size."""

    box: Box
    left: float
    top: float
    width: float
    height: float


@dataclass
class Page:
    """Everything that is drawn: boxes, and lines through points, each with an arrow at its end or without."""

    width: float = 0.0
    height: float = 0.0
    boxes: list[Placed] = field(default_factory=list)
    lines: list[tuple[list[Point], bool]] = field(default_factory=list)


def lay_out(column: Column) -> Page:
    """The page on which the text is largest when it is made to fit a screen; with as few columns as that takes."""
    pages = [_page(_parted(column, count)) for count in range(1, min(len(column), _MOST_COLUMNS) + 1)]
    return max(pages, key=_scale)


def _scale(page: Page) -> float:
    return min(1.0, _PAGE[0] / page.width, _PAGE[1] / page.height)


def _parted(column: Column, count: int) -> list[Column]:
    """The column in so many parts of about one height, or fewer."""
    limit = max(_height(column) / count, *(_item_height(item) for item in column))
    while len(parts := _filled(column, limit)) > count:
        limit += LINE
    return parts


def _filled(column: Column, limit: float) -> list[Column]:
    """Parts no higher than the limit; what joins lanes again stays below them."""
    parts: list[list[Box | Lanes]] = [[]]
    for item in column:
        joins = parts[-1] and isinstance(parts[-1][-1], Lanes)
        if parts[-1] and not joins and _height((*parts[-1], item)) > limit:
            parts.append([])
        parts[-1].append(item)
    return [tuple(part) for part in parts]


def _page(parts: Sequence[Column]) -> Page:
    page = Page()
    box_width = max(_box_width(part) for part in parts)
    left, last = 0.0, None
    for part in parts:
        width = max(_width(part), box_width)
        middle = left + width / 2
        if last is not None:
            gutter = left - _COLUMN_GAP / 2
            low, high = last[1] + _TURN, -_TURN
            turns = [last, (last[0], low), (gutter, low), (gutter, high), (middle, high), (middle, 0.0)]
            page.lines.append((turns, isinstance(part[0], Box)))
        bottom = _place(page, part, middle, 0.0, box_width, is_last=part is parts[-1])
        last = (middle, bottom)
        page.height = max(page.height, bottom)
        page.width = left + width
        left += width + _COLUMN_GAP
    return page


def _place(page: Page, column: Column, middle: float, top: float, box_width: float, *, is_last: bool = False) -> float:
    """Put a column's items below `top`, and the lines between them; the lower end."""
    for number, item in enumerate(column):
        if number:
            page.lines.append(([(middle, top), (middle, top + _GAP)], isinstance(item, Box)))
            top += _GAP
        if isinstance(item, Box):
            page.boxes.append(Placed(item, middle - box_width / 2, top, box_width, _item_height(item)))
            top += _item_height(item)
        else:
            top = _place_lanes(page, item, middle, top, joined=not (is_last and number == len(column) - 1))
    return top


def _place_lanes(page: Page, item: Lanes, middle: float, top: float, *, joined: bool) -> float:
    """Lanes side by side between a line from which they part and, where they meet again, one to which they lead."""
    bottom = top + _item_height(item)
    left = middle - _lanes_width(item) / 2
    middles = []
    for lane in item.lanes:
        here = left + _width(lane) / 2
        low = top
        if lane:
            page.lines.append(([(here, top), (here, top + _BAR)], isinstance(lane[0], Box)))
            low = _place(page, lane, here, top + _BAR, _box_width(lane))
        if joined or not lane:
            page.lines.append(([(here, low), (here, bottom)], False))
        middles.append(here)
        left += _width(lane) + _LANE_GAP
    for height in (top, bottom) if joined else (top,):
        page.lines.append(([(min(*middles, middle), height), (max(*middles, middle), height)], False))
    return bottom


def _item_height(item: Box | Lanes) -> float:
    if isinstance(item, Box):
        return len(item.lines) * LINE + 2 * PADDING
    return max(_height(lane) for lane in item.lanes) + 2 * _BAR


def _height(column: Column) -> float:
    return sum(_item_height(item) for item in column) + _GAP * max(len(column) - 1, 0)


def _width(column: Column) -> float:
    lanes = [_lanes_width(item) for item in column if isinstance(item, Lanes)]
    return max([_PASSING, _box_width(column), *lanes])


def _lanes_width(item: Lanes) -> float:
    return sum(_width(lane) for lane in item.lanes) + _LANE_GAP * (len(item.lanes) - 1)


def _box_width(column: Column) -> float:
    """All boxes of a column are as wide as the widest text needs."""
    boxes = [item for item in column if isinstance(item, Box)]
    return max((_text_width(box) + 2 * _SIDE_PADDING for box in boxes), default=0.0)


def _text_width(box: Box) -> float:
    first, *others = (picture_style.text_width(line, SIZE) for line in box.lines)
    return max([first if box.trained is None else first * _BOLD, *others])
