"""What a model's heads answer, in words: one record an image, the same on the command line and over HTTP."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.manifest import BOX_COLUMNS

Answer = dict[str, Any]


def describe(heads: dict[str, npt.NDArray[np.floating]], class_names: tuple[str, ...]) -> list[Answer]:
    """A record an image.

    Args:
        heads: `probabilities` `(n, classes)`, `box` `(n, 4)` in fractions of the image, or one of them.
        class_names: in label order.

    Returns:
        Dicts of `label`, the most probable class; `confidence`, its probability; `probabilities` by class; and `box`
        `{x, y, width, height}`, of its top-left corner and in fractions of the image. What a model has no head for is
        None.
    """
    count = len(next(iter(heads.values())))
    answers = [unanswered() for _ in range(count)]
    for answer, row in zip(answers, heads.get("probabilities", ()), strict=False):
        best = int(row.argmax())
        by_class = dict(zip(class_names, map(float, row), strict=True))
        answer |= {"label": class_names[best], "confidence": float(row[best]), "probabilities": by_class}
    for answer, row in zip(answers, heads.get("box", ()), strict=False):
        answer["box"] = {name.removeprefix("box_"): float(value) for name, value in zip(BOX_COLUMNS, row, strict=True)}
    return answers


def unanswered() -> Answer:
    """The record of an image that no model has seen."""
    return {"label": None, "confidence": None, "probabilities": None, "box": None}
