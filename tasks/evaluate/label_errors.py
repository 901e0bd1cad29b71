"""Test rows whose label may be wrong, for a person to look at.

The model never saw the test rows, so its probabilities are out-of-sample, which confident learning asks for (Northcutt
et al., Confident learning: estimating uncertainty in dataset labels, 2021). A weak model's own mistakes are among the
candidates: the quality tells which to look at first, and only a person whether the label is wrong.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import predictions
from tasks.evaluate.gallery import Line, Picture, draw_gallery
from tasks.evaluate.wording import rows_in_words
from tasks.files import write_whole
from tasks.picture_style import INK

_COLUMNS = ["image_id", "given_class", "suggested_class", "probability_of_given", "probability_of_suggested", "quality"]


def find_label_errors(table: pd.DataFrame) -> pd.DataFrame:
    """The candidates, the most doubtful first, equals by image id; cleanlab's confident learning.

    A row is one where the model says another class, and says it at least as surely as it does on average of the rows
    with that label. Where fewer than two classes have rows no label can be doubted for another: there are none then.

    Args:
        table: of `tasks/predictions.py`, of a model with a class head; all probabilities finite.

    Returns:
        Columns `image_id`; `given_class`, the label's; `suggested_class`, the predicted one; the probability of each,
        0..1; `quality` of the label, 0..1, 0.5 and half the difference of the two probabilities.
    """
    if table["label"].nunique() < 2:
        return pd.DataFrame(columns=_COLUMNS)
    # In a fixed order, since the last digit of a mean depends on it.
    table = table.sort_values("image_id", kind="stable")
    candidates, quality = _ask_cleanlab(predictions.labels(table), predictions.probabilities(table))
    rows, quality = table[candidates], quality[candidates]
    names, probabilities = np.array(predictions.class_names(table)), predictions.probabilities(rows)
    given, suggested, each = predictions.labels(rows), predictions.predicted(rows), np.arange(len(rows))
    columns = (
        rows["image_id"].to_numpy(),
        names[given],
        names[suggested],
        probabilities[each, given],
        probabilities[each, suggested],
        quality,
    )
    found = pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))
    return found.sort_values("quality", kind="stable", ignore_index=True)


def _ask_cleanlab(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """`(n,)` whether a row is a candidate, and the quality of its label."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    candidates = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
    return np.asarray(candidates, dtype=bool), np.asarray(quality, dtype=np.float64)


def write_label_errors(candidates: pd.DataFrame, path: Path) -> None:
    """The candidates of `find_label_errors` as CSV; a header alone where there are none."""
    with write_whole(path) as temporary:
        candidates.to_csv(temporary, index=False, float_format="%.6f")


def draw_label_errors(
    candidates: pd.DataFrame,
    rows: int,
    read_pixels: Callable[[str], npt.NDArray[np.uint8]],
    path: Path,
    title: str,
    most: int = 25,
) -> None:
    """Draw the most doubtful labels, each with "given → suggested, its probability".

    Args:
        candidates: of `find_label_errors`.
        rows: among which they were looked for.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of an `image_id`; asked only for what is drawn.
        path: PNG to write; without candidates it says so.
        title: names the model.
        most: pictures drawn at most.
    """
    shown = candidates.head(most)
    values = zip(*(shown[column] for column in _COLUMNS[:-1]), strict=True)
    pictures = [
        Picture(image_id, (Line(given, " →", INK), Line(suggested, f", {probability:.1%}", INK)))
        for image_id, given, suggested, _, probability in values
    ]
    part = f"the {len(shown):,} most doubtful of " if len(shown) < len(candidates) else ""
    note = (
        f"class given → class that the model suggests, its probability; the model may be the wrong one; "
        f"{part}{len(candidates):,} among {rows_in_words(rows)}"
    )
    instead = f"No label seems wrong among {rows_in_words(rows)}."
    draw_gallery(pictures, read_pixels, path, f"{title}: labels that may be wrong", note, instead)
