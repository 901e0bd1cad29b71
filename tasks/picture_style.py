"""One palette and one type for every picture of the project, and how a picture is saved."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from tasks.files import write_whole

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120
POINTS_PER_INCH = 72
TITLE_SIZE = 11.0
TEXT_SIZE = 9.0

INK = "#22262b"
FAINT = "#c9ced6"
# Blue, orange and red stay apart for the common colour blindnesses, and in grey by lightness.
FIRST = "#2468b2"
SECOND = "#e08214"
RIGHT = FIRST
WRONG = "#b2221c"
_PALE_RIGHT = "#d6e6f5"
_PALE_WRONG = "#f9c3ab"

_STYLE = {
    "font.size": TEXT_SIZE,
    "axes.titlesize": TITLE_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "figure.titlesize": TITLE_SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a class may be named "$5 to $10"
}
# DejaVu comes with matplotlib but has no Chinese, Japanese or Korean; these are used where they are installed.
_FALLBACK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "Hiragino Sans", "PingFang SC")

# matplotlib's settings and font cache are the process's, and task runners draw from several threads.
_ONE_AT_A_TIME = RLock()


@contextmanager
def styled() -> Iterator[None]:
    """The project's style for the block, or for the function that it decorates; one drawing at a time."""
    from matplotlib import font_manager, rc_context

    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]
    with _ONE_AT_A_TIME, rc_context({**_STYLE, "font.family": families}):
        yield


def save(figure: "Figure", path: Path) -> None:
    """Write the figure as PNG, whole or not at all; the canvas grows to whatever stands out of it."""
    with write_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", pad_inches=0.15)


def right_colours() -> "Colormap":
    """Pale to dark blue: rows that are predicted right."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("right", [_PALE_RIGHT, FIRST, "#0b2f5c"])


def wrong_colours() -> "Colormap":
    """Pale to dark red: rows that are predicted wrong."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("wrong", [_PALE_WRONG, "#dd4a35", "#7d0f12"])


@lru_cache(maxsize=4096)  # two confusion matrices and a gallery measure the same names
def text_width(text: str, size: float) -> float:
    """Width in points of one line of text in a font of `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width)


def shorten(text: str, size: float, width: float) -> str:
    """`text`, or its ends about an ellipsis where it is wider than `width` points in a font of `size` points.

    Both ends are kept because class names often differ only in their last word.
    """
    if text_width(text, size) <= width:
        return text
    fits, too_many = 1, len(text)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if text_width(_ends(text, middle), size) <= width else (fits, middle)
    return _ends(text, fits)


def wrap(text: str, size: float, width: float) -> str:
    """`text` in lines of at most about `width` points in a font of `size` points."""
    average = text_width(text, size) / max(len(text), 1)
    return textwrap.fill(text, max(int(width / max(average, 1.0)), 12))


def _ends(text: str, keep: int) -> str:
    """`keep` characters of the text, from its beginning and its end."""
    tail = keep // 2
    return f"{text[: keep - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"
