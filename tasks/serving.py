"""Opened images -> what a model says of each, on the command line and over HTTP alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.answers import Answer, describe, unanswered
from tasks.opening import Opened
from tasks.prediction import predict_heads


def answer_batch(model: Any, opened: Sequence[Opened], class_names: tuple[str, ...]) -> dict[str, Answer]:
    """By path, in order: as of `describe`, with a `note`, which is empty where there is nothing to say.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels.
        opened: those that can be used are predicted, all at once.
        class_names: in label order.
    """
    usable = {one.path: one.pixels for one in opened if one.pixels is not None}
    said: dict[str, Answer] = {}
    if usable:
        heads = predict_heads(model, np.stack(list(usable.values())))
        said = dict(zip(usable, describe(heads, class_names), strict=True))
    return {one.path: {**said.get(one.path, unanswered()), "note": one.note} for one in opened}
