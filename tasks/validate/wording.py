"""Words for images and for reasons, shared by statuses, expectations and the report."""

import re
from collections.abc import Sequence

import pandas as pd

MAX_EXAMPLES = 5
_KINDS = {"duplicate": "duplicates", "same picture": "the same picture under two classes"}


def image_names(rows: pd.DataFrame) -> pd.Series:
    """Where the images of manifest rows are, str: the path, or `index 17` in the store."""
    return rows["path"].fillna("index " + rows["index"].astype("str"))


def count_reasons(table: pd.DataFrame) -> dict[str, int]:
    """How many rows of a manifest are quarantined for each kind of reason, the most frequent first."""
    kinds = table.loc[table["status"] != "ok", "status"].map(_kind_of_reason)
    counts = kinds.value_counts()
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
