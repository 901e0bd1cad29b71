"""Images that a split must not part."""

import numpy as np
import pandas as pd


def assign_groups(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The manifest with `group`: the least image_id of all images that pairs connect, directly or through others.

    Args:
        table: a manifest, index 0..n-1.
        pairs: as in `tasks.validate.checked.CheckedData`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = (pairs["first"].to_numpy(np.int64), pairs["second"].to_numpy(np.int64))
    graph = coo_array((np.ones(len(pairs), bool), ends), shape=(len(table), len(table)))
    _, component = connected_components(graph, directed=False)
    least = table["image_id"].groupby(component).transform("min")
    return table.assign(group=least.astype("str"))
