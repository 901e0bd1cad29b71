"""Files -> what a model takes them for."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.opening import Opened, in_batches, open_files
from tasks.prediction import BATCH_SIZE, predict_heads
from tasks.progress import track
from tasks.serve.answers import Answer, describe, unanswered
from tasks.serve.paths import expand


def predict_files(
    model: Any, named: Sequence[str], class_names: tuple[str, ...], image_size: tuple[int, int]
) -> list[Answer]:
    """A record a file, in the order in which the files were named, with a progress bar.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels.
        named: files, folders, globs.
        class_names: in label order.
        image_size: height and width to which images are resized, as those that the model learned from.

    Returns:
        As of `describe`, with `path`, and a `note`: why a file cannot be used, or what was done to it; else empty.
    """
    files = expand(named)
    to_open = [path for path, problem in files if not problem]
    shown = track(open_files(to_open, image_size), "classifying images", len(to_open))
    answers: dict[str, Answer] = {}
    for some in in_batches(shown, BATCH_SIZE):
        answers |= _predict(model, some, class_names)
    absent = {path: _record(path, unanswered(), problem) for path, problem in files if problem}
    answers |= absent
    return [answers[path] for path, _ in files]


def _predict(model: Any, some: list[Opened], class_names: tuple[str, ...]) -> dict[str, Answer]:
    usable = [one for one in some if one.pixels is not None]
    said: dict[str, Answer] = {}
    if usable:
        heads = predict_heads(model, np.stack([one.pixels for one in usable if one.pixels is not None]))
        said = {one.path: answer for one, answer in zip(usable, describe(heads, class_names), strict=True)}
    return {one.path: _record(one.path, said.get(one.path, unanswered()), one.note) for one in some}


def _record(path: str, answer: Answer, note: str) -> Answer:
    name = os.fsencode(path).decode(errors="replace")  # a file's name may be no text
    return {"path": name, **answer, "note": note}
