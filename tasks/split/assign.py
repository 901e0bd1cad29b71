"""Which image is for training, which for validation, which for testing.

Images are drawn class by class in the order of a hash of seed and group, so that the same images fall the same way on
every machine and in every row order. Groups are never parted.
"""

import hashlib

import pandas as pd

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Split
from tasks.manifest import SPLITS


def assign_splits(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    """The manifest with `split` filled in: train, validation or test; null for quarantined images.

    Where counts for each class leave images over, those keep a null split and are used for nothing.

    Args:
        table: a manifest; its `split` holds the given split, or null.
        split: the experiment's section.

    Raises:
        ConfigurationError: `given` is asked for and none is there, or a published test split would be parted anew.
        DataError: a class has too few images for its parts.
    """
    rows = table[table["status"] == "ok"]
    given = rows["split"]
    _check_given(given, split)
    assigned = pd.Series(None, index=table.index, dtype="str")
    assigned[rows.index] = given.where(given != "train")
    # A group that spans classes is drawn with the first of them, and so stays whole.
    drawn_with = rows.groupby("group")["label"].transform("min")
    for _, members in rows[assigned[rows.index].isna()].groupby(drawn_with, sort=True):
        _assign_class(members, assigned, split)
    _check_complete(rows, assigned)
    return table.assign(split=assigned)


def _check_given(given: pd.Series, split: Split) -> None:
    present = set(given.dropna())
    for name in ("validation", "test"):
        asked = getattr(split, name)
        if asked == "given" and name not in present:
            raise ConfigurationError(
                f"split.{name}: the data set gives no {name} split; expected a fraction, as 0.15, or a count"
            )
        if asked != "given" and name in present:
            raise ConfigurationError(
                f"split.{name}: the data set gives its own {name} split of {int((given == name).sum())} images, which "
                f"is kept so that results compare; set split.{name}=given instead of {asked}"
            )


def _assign_class(members: pd.DataFrame, assigned: pd.Series, split: Split) -> None:
    """Draw the images of one class that have no given validation or test split; fills in `assigned`."""
    groups = [rows.index for _, rows in members.groupby("group")]
    groups.sort(key=lambda rows: _hash(split.seed, str(members.at[rows[0], "group"])))
    for name in ("test", "validation"):
        groups = _take(groups, name, _size(getattr(split, name), len(members)), assigned)
    _take(groups, "train", len(members) if split.train is None else split.train, assigned)


def _size(part: int | float | str, images: int) -> int:
    """Number of images to take out of a class's `images`; a fraction gives at least one."""
    if part == "given":
        return 0
    if isinstance(part, float):
        return max(1, round(part * images))
    return int(part)


def _take(groups: list[pd.Index], name: str, size: int, assigned: pd.Series) -> list[pd.Index]:
    """Give whole groups to a split, from the front, each that still fits; returns the groups that are left."""
    left = []
    for rows in groups:
        if len(rows) <= size:
            assigned[rows] = name
            size -= len(rows)
        else:
            left.append(rows)
    return left


def _check_complete(rows: pd.DataFrame, assigned: pd.Series) -> None:
    counts = pd.crosstab(rows["class_name"], assigned[rows.index].fillna("unused"))
    for name in SPLITS:
        short = list(counts.index) if name not in counts else list(counts.index[counts[name] == 0])
        if short:
            raise DataError(
                f"split: no {name} images for {', '.join(map(str, short[:5]))}; expected at least one of each class; "
                "add images to these classes or ask for smaller parts"
            )


def _hash(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
