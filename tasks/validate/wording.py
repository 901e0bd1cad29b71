"""Words for images, reasons and checks, shared by statuses, expectations and the report."""

import re
from collections.abc import Sequence

import pandas as pd

MAX_EXAMPLES = 5
_KINDS = {"duplicate": "duplicates", "same picture": "the same picture under two classes"}
_CHECKS = {
    "unreadable": "Cannot be read",
    "size": "Too small or too large",
    "aspect": "Long and narrow",
    "one_colour": "Of one colour",
    "box": "Box that bounds nothing",
    "wrong_extension": "Of another format than the name says",
    "mode": "Neither grey nor RGB of 8 bits",
    "listed_size": "Of another size than the source states",
    "low_resolution": "Smaller than the models take",
}


def image_names(rows: pd.DataFrame) -> pd.Series:
    """Where the images of manifest rows are, str: the path, or `index 17` in the store."""
    return rows["path"].fillna("index " + rows["index"].astype("str"))


def count_of(number: int, noun: str) -> str:
    """`1 image`, `1,200 images`; the noun forms its plural with s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def title_of_check(check: str) -> str:
    """What a check of single images finds, in a few words; its own name where it has no such words."""
    return _CHECKS.get(check, check)


def kinds_of_reasons(table: pd.DataFrame) -> pd.Series:
    """The kind of reason of each quarantined row of a manifest, str: as `duplicates` for every `duplicate of …`."""
    return table.loc[table["status"] != "ok", "status"].map(_kind_of_reason)


def count_reasons(table: pd.DataFrame) -> dict[str, int]:
    """How many rows of a manifest are quarantined for each kind of reason, the most frequent first."""
    counts = kinds_of_reasons(table).value_counts()
    return {kind: int(counts[kind]) for kind in sorted(counts.index, key=lambda kind: (-counts[kind], kind))}


def shorten(examples: Sequence[str], total: int | None = None, most: int = MAX_EXAMPLES) -> str:
    """The first examples, and how many more there are.

    Args:
        total: how many there are, where `examples` are but the first of them.
    """
    left_out = (total or len(examples)) - most
    return ", ".join(examples[:most]) + (f" and {left_out:,} more" if left_out > 0 else "")


def _kind_of_reason(status: str) -> str:
    """The status without what is particular to one image."""
    kind = re.split(r": | of | as ", status, maxsplit=1)[0]
    return _KINDS.get(kind, kind)
