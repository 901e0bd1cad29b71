"""Which test rows a gallery shows, and in which order: the same whatever the order of the rows in the table is."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions

_SEED = 0


def confident_mistakes(table: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """`(at most `most`,)` positions of the wrong rows, the surest first; equals by image id."""
    return surest_first(table, np.flatnonzero(~predictions.correct(table)))[:most]


def unsure_hits(table: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """`(at most `most`,)` positions of the right rows, the least sure first; equals by image id."""
    return _by_key(table, np.flatnonzero(predictions.correct(table)), _confidence(table))[:most]


def random_sample(table: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """`(at most `most`,)` positions of rows chosen at random among the image ids."""
    by_id = np.argsort(table["image_id"].to_numpy(str), kind="stable")
    return np.random.default_rng(_SEED).permutation(by_id)[:most]


def surest_first(table: pd.DataFrame, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """These positions, those with the highest probability of the predicted class first; equals by image id."""
    return _by_key(table, rows, -_confidence(table))


def _confidence(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    confidence: npt.NDArray[np.float64] = predictions.probabilities(table).max(axis=1)
    return confidence


def _by_key(table: pd.DataFrame, rows: npt.NDArray[np.int64], key: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return rows[np.lexsort((table["image_id"].to_numpy(str)[rows], key[rows]))]
