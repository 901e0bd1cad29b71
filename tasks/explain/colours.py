"""Colour maps of what is measured in an image, made of the project's palette; in grey they fall and rise evenly."""

from typing import TYPE_CHECKING

from tasks.picture_style import FIRST, WRONG

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_NOTHING = "#ffffff"


def activation_colours() -> "Colormap":
    """White, blue, nearly black: from little to much."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("activation", [_NOTHING, "#b9d3ec", FIRST, "#081d3a"])


def signed_colours() -> "Colormap":
    """Blue below zero, white at it, red above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", ["#0b2f5c", FIRST, _NOTHING, WRONG, "#5e0b0d"])
