"""The classification report and the confusion matrix as plain text for a terminal."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

_CLOSING_ROWS = 3  # averages and accuracy, set apart from the classes


def report_text(report: pd.DataFrame) -> str:
    """Aligned columns, four decimals, a blank line before the averages.

    Args:
        report: of `metrics.classification_report`.
    """
    head = ["class", *report.columns]
    rows = [
        [str(name), *(_score(score) for score in scores), str(int(support))]
        for name, (*scores, support) in zip(report.index, report.to_numpy(), strict=True)
    ]
    lines = _align([head, *rows])
    return "\n".join([*lines[:-_CLOSING_ROWS], "", *lines[-_CLOSING_ROWS:]]) + "\n"


def matrix_text(counts: npt.NDArray[np.int64], class_names: Sequence[str]) -> str:
    """One line a true class, one column a predicted class, headed by its label; zeros are dots.

    Args:
        counts: `(classes, classes)`, row = true label, column = predicted label.
        class_names: in label order.
    """
    number = len(str(len(class_names) - 1))
    head = ["true \\ predicted", *(str(label) for label in range(len(class_names)))]
    rows = [
        [f"{label:>{number}} {name}", *(str(count) if count else "." for count in counts[label])]
        for label, name in enumerate(class_names)
    ]
    return "\n".join(_align([head, *rows])) + "\n"


def _score(score: float) -> str:
    return "" if np.isnan(score) else f"{score:.4f}"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right, two spaces between."""
    first, *others = (max(len(cell) for cell in column) for column in zip(*rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in rows
    ]
