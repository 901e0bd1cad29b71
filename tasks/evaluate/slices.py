"""Where a model is weak: its accuracy on slices of the test rows, as a table and a picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.slices_of_rows import Slice, slice_rows
from tasks.evaluate.slices_picture import draw_slices
from tasks.files import write_whole
from tasks.statistics import accuracy_interval

ALPHA = 0.05


def write_slices(table: pd.DataFrame, rows: pd.DataFrame, folder: Path, title: str) -> pd.DataFrame:
    """Write `slices.csv` and `slices.png`: the accuracy, or of a model without a class head the share of found boxes.

    Args:
        table: of `tasks/predictions.py`, at least one row.
        rows: of the manifest, with every image of the table; in any order.
        folder: made if need be; files of these names in it are replaced.
        title: names the model in the picture.

    Returns:
        The table of `accuracy_by_slice`.

    Raises:
        ValueError: an image of the table is not among `rows`.
    """
    correct = predictions.correct(table)
    scores = accuracy_by_slice(correct, slice_rows(rows.iloc[_places(table, rows)]))
    with write_whole(folder / "slices.csv") as temporary:
        scores.to_csv(temporary, index=False)
    measured = "accuracy" if predictions.has_classes(table) else "boxes found"
    draw_slices(scores, float(correct.mean()), folder / "slices.png", title, measured)
    return scores


def accuracy_by_slice(correct: npt.NDArray[np.bool_], slices: list[Slice]) -> pd.DataFrame:
    """One row a slice: `slice` (its kind), `value`, `rows`, `accuracy` and its 95 % interval `low`, `high`, all 0..1;
    `p_value` and `worse`.

    The p-value is that of Fisher's exact test (The Design of Experiments, 1935), one-sided: how often chance alone
    would put so few of all right rows into the slice. It is corrected for the number of slices so that of those found
    worse at most a twentieth are expected to be so by chance (Benjamini & Hochberg, Controlling the False Discovery
    Rate, 1995). `worse` says whether it is below 0.05.

    Kinds stand in the order given, classes from the worst on, the parts of the other kinds as they came.

    Args:
        correct: `(n,)` whether each prediction is right; n >= 1.
        slices: each with at least one row.
    """
    from scipy import stats

    measured = [_measure(part, correct) for part in slices]
    scores = pd.DataFrame(measured, columns=["slice", "value", "rows", "accuracy", "low", "high"])
    if scores.empty:
        return scores.assign(p_value=pd.Series(dtype="float64"), worse=pd.Series(dtype="bool"))
    hits = np.array([correct[part.members].sum() for part in slices])
    by_chance = stats.hypergeom.cdf(hits, len(correct), correct.sum(), scores["rows"].to_numpy())
    scores["p_value"] = stats.false_discovery_control(np.clip(by_chance, 0, 1))
    scores["worse"] = scores["p_value"] < ALPHA
    is_class = (scores["slice"] == "class").to_numpy()
    worst_first = scores[is_class].sort_values(["accuracy", "value"])
    return pd.concat([worst_first, scores[~is_class]], ignore_index=True)


def _measure(part: Slice, correct: npt.NDArray[np.bool_]) -> tuple[str, str, int, float, float, float]:
    hits = correct[part.members]
    interval = accuracy_interval(hits)
    return part.kind, part.value, len(hits), float(hits.mean()), interval.low, interval.high


def _places(table: pd.DataFrame, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """`(n,)` positions among `rows` of the table's images."""
    places = pd.Series(np.arange(len(rows)), index=rows["image_id"].to_numpy())
    found = places[~places.index.duplicated()].reindex(table["image_id"])
    if found.isna().any():
        raise ValueError(
            f"slices need the manifest row of each of the {len(table):,} predicted images; received none of "
            f"{found.index[found.isna()][0]}; give the manifest that the predictions were made from"
        )
    return found.to_numpy(np.int64)
