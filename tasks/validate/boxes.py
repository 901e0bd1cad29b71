"""The box of each image: brought to fractions of the image, to its edges, and judged."""

import numpy as np
import pandas as pd

from tasks.manifest import BOX_COLUMNS

CORNER_COLUMNS = ("box_left", "box_top", "box_right", "box_bottom")
# Annotation programs count pixels from 0 or from 1, and the last one in or out: an edge may be a pixel off. The rest is
# for the arithmetic of fractions.
_PIXELS_OUTSIDE = 1 + 1e-6


def box_fractions(listed: pd.DataFrame, width: pd.Series, height: pd.Series) -> pd.DataFrame:
    """BOX_COLUMNS float64, null where there is no box.

    Args:
        listed: may have fractions in BOX_COLUMNS, or pixels of the upright image in CORNER_COLUMNS, counted from 0, of
            which right and bottom are the first that are outside. Fractions win.
        width, height: pixels, null where unknown; index as that of `listed`.
    """
    given = listed.reindex(columns=list(BOX_COLUMNS)).astype("float64")
    if not set(CORNER_COLUMNS) & set(listed.columns):
        return given
    left, top, right, bottom = (listed.reindex(columns=[name])[name].astype("float64") for name in CORNER_COLUMNS)
    wide, high = width.astype("float64"), height.astype("float64")
    parts = (left / wide, top / high, (right - left) / wide, (bottom - top) / high)
    return given.fillna(pd.DataFrame(dict(zip(BOX_COLUMNS, parts, strict=True))))


def clip_to_image(boxes: pd.DataFrame, width: pd.Series, height: pd.Series) -> pd.DataFrame:
    """Boxes with the edges that lie up to a pixel outside moved onto the image's edge; all others as they are."""
    clipped = boxes.copy()
    for start, extent, pixels in (("box_x", "box_width", width), ("box_y", "box_height", height)):
        first, last = boxes[start], boxes[start] + boxes[extent]
        beyond = ((first < 0) | (last > 1)) & _is_inside(first, last, pixels)
        low, high = first[beyond].clip(lower=0), last[beyond].clip(upper=1)
        clipped.loc[beyond, start], clipped.loc[beyond, extent] = low, high - low
    return clipped


def box_problems(boxes: pd.DataFrame, width: pd.Series, height: pd.Series, min_side: float) -> pd.Series:
    """What is wrong with a box, in words: one row for each wrong one.

    Args:
        boxes: BOX_COLUMNS, fractions of images that are `width` and `height` pixels.
        min_side: the least share of the image's side.
    """
    x, y, wide, high = (boxes[name] for name in BOX_COLUMNS)
    missing = boxes.isna()
    is_inside = _is_inside(x, x + wide, width) & _is_inside(y, y + high, height)
    conditions = {
        "box incomplete": missing.any(axis="columns"),
        "box without size": (wide <= 0) | (high <= 0),
        "box outside the image": ~is_inside,
        "box too small": (wide < min_side) | (high < min_side),
    }
    kinds = pd.Series(
        np.select(list(conditions.values()), list(conditions), default=""), index=boxes.index, dtype="str"
    )
    kinds = kinds[(kinds != "") & ~missing.all(axis="columns")]
    expected = np.where(kinds == "box too small", f", expected at least {min_side:g} a side", "")
    return kinds + ": " + _tell(boxes.loc[kinds.index]) + expected


def _is_inside(first: pd.Series, last: pd.Series, pixels: pd.Series) -> pd.Series:
    """Whether two edges, as fractions of so many pixels, lie on the image or as good as."""
    allowed = _PIXELS_OUTSIDE / pixels.astype("float64")
    return (first >= -allowed) & (last <= 1 + allowed)


def _tell(boxes: pd.DataFrame) -> pd.Series:
    x, y, wide, high = (boxes[name].round(3).astype("str").fillna("none") for name in BOX_COLUMNS)
    return "x " + x + ", y " + y + ", width " + wide + ", height " + high + " in shares of the image"
