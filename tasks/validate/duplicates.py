"""Exact duplicates: equal pixels, whatever the file's name, format or metadata."""

import pandas as pd

from pipeline_config.experiment import Validation
from tasks.manifest import usable
from tasks.validate.wording import image_names

# Which copy stays: a published test split is kept whole, so its rows go before all others.
_RANK = {"test": 0, "validation": 1, "train": 2}
_RANK_WITHOUT_SPLIT = 3


def exact_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Each usable copy of a picture with the copy that goes before it in preference; n copies give n - 1 pairs.

    Args:
        table: a manifest, index 0..n-1, in which no duplicates are quarantined yet.

    Returns:
        Columns `PAIR_COLUMNS` of `tasks/validate/checked.py`, kind `exact`, sorted.
    """
    copies = _copies(table)
    first = copies.drop_duplicates("image_id")
    place = pd.Series(first.index, index=first["image_id"])
    others = copies.drop(first.index)
    ends = {"first": place[others["image_id"]].to_numpy("int64"), "second": others.index.to_numpy("int64")}
    pairs = pd.DataFrame(ends).assign(kind="exact", distance=0)
    return pairs.sort_values(["first", "second"], ignore_index=True)


def quarantine_duplicates(table: pd.DataFrame, bounds: Validation) -> pd.DataFrame:
    """The manifest, in which no two usable rows have the same pixels; row order and other columns stay.

    Of copies with one label the first is kept: a given test row before validation before train before none, then by
    path or index. Copies with different labels are quarantined all, since nobody can tell which label is right. What is
    `off` in the bounds is not done.

    Args:
        table: a manifest whose index has no value twice.
        bounds: its `duplicates` and `conflicting_labels` are used.
    """
    copies = _copies(table)
    first = copies.drop_duplicates("image_id").set_index("image_id")
    otherwise = copies[copies["label"] != copies["image_id"].map(first["label"])]
    second = otherwise.drop_duplicates("image_id").set_index("image_id")

    in_conflict = copies["image_id"].isin(second.index)
    agreeing = copies[~in_conflict]
    surplus = agreeing[agreeing["image_id"].duplicated()]
    as_first = copies[in_conflict & ~copies.index.isin(otherwise.index)]

    status = table["status"].copy()
    if bounds.duplicates != "off":
        status.loc[surplus.index] = "duplicate of " + surplus["image_id"].map(first["name"])
    if bounds.conflicting_labels != "off":
        status.loc[as_first.index] = _conflict(as_first, second)
        status.loc[otherwise.index] = _conflict(otherwise, first)
    return table.assign(status=status)


def _copies(table: pd.DataFrame) -> pd.DataFrame:
    """Usable rows whose picture is there more than once, in order of preference, with their names."""
    rows = usable(table)
    return _in_order_of_preference(rows[rows["image_id"].duplicated(keep=False)])


def _in_order_of_preference(copies: pd.DataFrame) -> pd.DataFrame:
    """Sorted by nothing but what a row says, so that the outcome does not hang on the order of rows."""
    rank = copies["split"].map(_RANK).fillna(_RANK_WITHOUT_SPLIT)
    named = copies.assign(rank=rank, name=image_names(copies))
    return named.sort_values(["rank", "path", "index", "label", "class_name"])


def _conflict(copies: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """The status of copies, each with one of another label beside it, found by image_id."""
    other = others.loc[copies["image_id"]].set_index(copies.index)
    return "same picture as " + other["name"] + ", filed under " + other["class_name"]
