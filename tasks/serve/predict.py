"""Files -> what a model takes them for."""

import os
from collections.abc import Sequence
from typing import Any

from tasks.answers import Answer, unanswered
from tasks.opening import in_batches, open_files
from tasks.prediction import BATCH_SIZE
from tasks.progress import track
from tasks.serve.paths import expand
from tasks.serving import answer_batch


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
        answers |= answer_batch(model, some, class_names)
    answers |= {path: {**unanswered(), "note": problem} for path, problem in files if problem}
    # A file's name may be no text.
    return [{"path": os.fsencode(path).decode(errors="replace"), **answers[path]} for path, _ in files]
