"""Images that a published test split shares with the training images.

Where the splits are made here, duplicates and near-duplicates stay in one split and nothing can leak.
"""

import pandas as pd

from tasks.manifest import usable
from tasks.validate.wording import image_names

LEAK_COLUMNS = ("row", "test_row", "kind", "distance")
_ENDS = (("row", "test_row"), ("test_row", "row"))  # a pair's first may be either of them


def leaking_rows(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Training and validation images that are, or nearly are, usable test images.

    Copies that have been quarantined as duplicates count: the data set holds them.

    Args:
        table: a manifest with its given splits, index 0..n-1.
        pairs: as in `tasks.validate.checked.CheckedData`.

    Returns:
        Columns `LEAK_COLUMNS`: positions of the training and of the test image, kind and distance of the pair.
    """
    of_test = (table["split"] == "test").to_numpy()
    usable_test = of_test & (table["status"] == "ok").to_numpy()
    ways = [pairs.rename(columns={"first": one, "second": other}) for one, other in _ENDS]
    both_ways = pd.concat([way[list(LEAK_COLUMNS)] for way in ways], ignore_index=True)
    leaks = both_ways[~of_test[both_ways["row"]] & usable_test[both_ways["test_row"]]]
    return leaks.sort_values(["test_row", "row"], ignore_index=True)


def leaked_share(table: pd.DataFrame, leaks: pd.DataFrame) -> float:
    """Share of the usable given test images that leak, 0..1; 0 where none are given."""
    tests = len(usable(table, "test"))
    return leaks["test_row"].nunique() / tests if tests else 0.0


def drop_leaking(table: pd.DataFrame, leaks: pd.DataFrame) -> pd.DataFrame:
    """The manifest in which the leaking training and validation images are quarantined and name the nearest one."""
    named = leaks.assign(name=image_names(table.loc[leaks["test_row"]]).to_numpy())
    # The nearest test image is named, so that the words do not hang on the order of rows.
    nearest = named.sort_values(["distance", "kind", "name"]).drop_duplicates("row").set_index("row")
    nearest = nearest[table.loc[nearest.index, "status"] == "ok"]
    words = nearest["kind"].map({"exact": "leaks: the same as ", "near": "leaks: nearly the same as "})
    status = table["status"].copy()
    status.loc[nearest.index] = words + nearest["name"]
    return table.assign(status=status)
