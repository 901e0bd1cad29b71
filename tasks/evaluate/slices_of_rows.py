"""Which test rows belong to which slice: by class, size, aspect, brightness, and what else the manifest tells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.manifest import BOX_COLUMNS

_MOST_VALUES = 20
# What names a row or says where it lies, and what has a slice of its own.
_NO_SLICE = {
    *("image_id", "path", "index", "bytes", "sha256", "phash", "group", "label", "split", "fold", "status"),
    *("class_name", "width", "height", "brightness", *BOX_COLUMNS),
}


@dataclass(frozen=True)
class Slice:
    """Some of the rows.

    Attributes:
        kind: what the rows are parted by, as `class` or `image size`.
        value: which of its parts this is, as `cat` or `400 to 900 pixels`.
        members: `(n,)` whether each row belongs to it.
    """

    kind: str
    value: str
    members: npt.NDArray[np.bool_]


def slice_rows(rows: pd.DataFrame) -> list[Slice]:
    """Every slice; none of a kind that all rows have alike. A row whose value is not known is in no slice of the kind.

    Args:
        rows: of a manifest, `n` of them; one of an earlier version may lack the brightness.
    """
    numbers = rows.reindex(columns=["width", "height", "brightness"])
    width, height, brightness = (numbers[name].to_numpy(np.float64, na_value=np.nan) for name in numbers)
    others = [column for column in rows.columns if column not in _NO_SLICE]
    return [
        *_by_value("class", rows["class_name"]),
        *_by_quarter("image size", width * height, lambda low, high: f"{_range(low, high, ',.0f')} pixels"),
        *_by_quarter("aspect", width / height, lambda low, high: f"{_range(low, high, '.2f')} times as wide as high"),
        *_by_quarter("brightness", brightness, lambda low, high: f"mean grey level {_range(low, high, '.0f')} of 255"),
        *(found for name in others if rows[name].nunique() <= _MOST_VALUES for found in _by_value(name, rows[name])),
    ]


def _by_value(kind: str, values: pd.Series) -> Iterator[Slice]:
    distinct = sorted(values.dropna().unique(), key=str)
    if len(distinct) > 1:
        for value in distinct:
            yield Slice(kind, str(value), (values == value).fillna(False).to_numpy(bool))


def _by_quarter(kind: str, values: npt.NDArray[np.floating], name: Callable[[float, float], str]) -> Iterator[Slice]:
    """Quarters of the rows by the values' quartiles; fewer parts where many rows share a value.

    Args:
        kind: of the slices.
        values: `(n,)`.
        name: names a part by its least and its greatest value.
    """
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if len(distinct) < 2:
        return
    quartiles = np.quantile(known, [0.25, 0.5, 0.75], method="lower")
    # An end at the greatest value would leave no row above it.
    ends = np.unique(np.minimum(quartiles, distinct[-2]))
    parts = np.where(np.isnan(values), -1, np.digitize(values, ends, right=True))
    for part in range(len(ends) + 1):
        members = parts == part
        yield Slice(kind, name(values[members].min(), values[members].max()), members)


def _range(low: float, high: float, form: str) -> str:
    """`low to high`, or one number where both read alike."""
    first, last = f"{low:{form}}", f"{high:{form}}"
    return first if first == last else f"{first} to {last}"
