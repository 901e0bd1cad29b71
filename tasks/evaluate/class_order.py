"""An order of the classes in which those stand together that the model confuses."""

import numpy as np
import numpy.typing as npt

_FEW = 3  # so many classes are taken in at a glance, in the order in which people know them


def confusion_order(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`(classes,)` labels; label order of at most three classes.

    Classes are the nearer the larger the share of their rows is that goes to each other, in the mean of both
    directions. They are clustered by average linkage, and of the orders of the tree's leaves the one is taken in which
    neighbours are nearest (Bar-Joseph et al., Fast optimal leaf ordering for hierarchical clustering, 2001). Classes
    that are confused with none come last, in label order.

    Args:
        counts: `(classes, classes)` test rows, row = true label, column = predicted label.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    nearness = (shares + shares.T) / 2
    is_confused = nearness.any(axis=1)
    if len(counts) <= _FEW or not is_confused.any():
        return np.arange(len(counts))
    confused = np.flatnonzero(is_confused)
    return np.concatenate([confused[_order(1 - nearness[np.ix_(confused, confused)])], np.flatnonzero(~is_confused)])


def _order(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """`(classes,)` places in the clustered order; `distances` is symmetric, and its diagonal does not count."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=True)
    order = np.asarray(leaves_list(tree), dtype=np.int64)
    # A tree reads as well from its other end; of the two the one that begins nearer to the first label.
    return order if order[0] < order[-1] else order[::-1]
