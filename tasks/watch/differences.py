"""Two manifests of one data set: which images came, went, were relabelled, and how the classes are balanced."""

from dataclasses import dataclass

import pandas as pd

from tasks.manifest import BOX_COLUMNS, usable

_MOST_NAMED = 3


@dataclass(frozen=True)
class Differences:
    """What two manifests differ in, of the images that may be used, each counted once.

    Attributes:
        added, removed: rows of the images that are in one of them alone.
        relabelled: rows of the later one whose class is another; `class_before` is that of the earlier one.
        moved_boxes: images whose box is another.
        moved_splits: images that are in another split or fold.
        balance: index class name; columns `before` and `after`, images of each.
    """

    added: pd.DataFrame
    removed: pd.DataFrame
    relabelled: pd.DataFrame
    moved_boxes: int
    moved_splits: int
    balance: pd.DataFrame


def compare_manifests(before: pd.DataFrame, after: pd.DataFrame) -> Differences:
    """Compare two manifests of one data set by the ids of their images.

    Args:
        before: of an earlier time.
        after: of now; may be unsplit.
    """
    old, new = _by_id(before), _by_id(after)
    stayed = new.index.intersection(old.index)
    was, now = old.loc[stayed], new.loc[stayed]
    relabelled = now.assign(class_before=was["class_name"])[now["class_name"] != was["class_name"]]
    counts = [table["class_name"].value_counts() for table in (old, new)]
    balance = pd.concat(counts, axis="columns", keys=["before", "after"]).fillna(0).astype("int64").sort_index()
    return Differences(
        added=new.loc[new.index.difference(old.index)],
        removed=old.loc[old.index.difference(new.index)],
        relabelled=relabelled,
        moved_boxes=_count_unlike(was, now, list(BOX_COLUMNS)),
        moved_splits=_count_unlike(was, now, ["split", "fold"]) if now["split"].notna().any() else 0,
        balance=balance,
    )


def _by_id(table: pd.DataFrame) -> pd.DataFrame:
    """The images that may be used, once each."""
    return usable(table).drop_duplicates("image_id").set_index("image_id")


def _count_unlike(was: pd.DataFrame, now: pd.DataFrame, columns: list[str]) -> int:
    """Rows that differ in any of the columns; two nulls are alike."""
    unlike = (was[columns] != now[columns]).fillna(True) & ~(was[columns].isna() & now[columns].isna())
    return int(unlike.any(axis="columns").sum())


def tell_differences(found: Differences) -> list[str]:
    """A sentence for each thing that differs; at least one."""
    told = [
        *_tell_images(found.added, "added"),
        *_tell_images(found.removed, "removed"),
        *_tell_relabelled(found.relabelled),
    ]
    if told:
        told.append(f"class balance: {_tell_balance(found.balance)}")
    if found.moved_boxes:
        told.append(f"{_images(found.moved_boxes)} that stayed {_have(found.moved_boxes)} another box")
    if found.moved_splits:
        told.append(f"{_images(found.moved_splits)} that stayed {_are(found.moved_splits)} in another split or fold")
    return told or ["the same images with the same labels, counted or numbered in another way"]


def _tell_images(rows: pd.DataFrame, what: str) -> list[str]:
    """`3 images added (2 cat, 1 dog)`."""
    if rows.empty:
        return []
    classes = rows["class_name"].value_counts().sort_index()
    told = [f"{count:,} {name}" for name, count in classes.sort_values(ascending=False, kind="stable").items()]
    return [f"{_images(len(rows))} {what} ({_some(told)})"]


def _tell_relabelled(rows: pd.DataFrame) -> list[str]:
    """`1 image relabelled (a/7.png from cat to dog)`."""
    if rows.empty:
        return []
    named = rows["path"].fillna("image " + rows["index"].astype("str"))
    told = [
        f"{name} from {was} to {now}"
        for name, was, now in zip(named, rows["class_before"], rows["class_name"], strict=True)
    ]
    return [f"{_images(len(rows))} relabelled ({_some(told)})"]


def _tell_balance(balance: pd.DataFrame) -> str:
    """`cat 40 (50 %) → 46 (53 %)`, of the classes whose numbers changed."""
    shares = balance / balance.sum().clip(lower=1)
    changed = balance[balance["before"] != balance["after"]]
    if changed.empty:
        return "as it was"
    told = [
        f"{name} " + " → ".join(f"{counts[time]:,} ({part[time]:.0%})" for time in ("before", "after"))
        for name, counts, part in zip(changed.index, _rows(changed), _rows(shares.loc[changed.index]), strict=True)
    ]
    return _some(told)


def _rows(table: pd.DataFrame) -> list[dict[str, float]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]


def _some(told: list[str]) -> str:
    more = [f"and {len(told) - _MOST_NAMED} more"] if len(told) > _MOST_NAMED else []
    return ", ".join([*told[:_MOST_NAMED], *more])


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
