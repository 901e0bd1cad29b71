"""What a model takes images for whose classes nobody has told."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import predictions
from tasks.evaluate.gallery import Line, Picture, draw_gallery
from tasks.evaluate.outside_images import name_some
from tasks.files import write_whole
from tasks.images import ImageReader, decode
from tasks.opening import find_files, in_batches, open_files
from tasks.picture_style import INK
from tasks.prediction import BATCH_SIZE, predict_heads
from tasks.progress import say, track

_TOLD = "opening images without classes"
_SHOWN = 36
_COLUMNS = 6


def classify_unlabelled(
    model: Any, root: Path, image_size: tuple[int, int], class_names: tuple[str, ...], folder: Path, title: str
) -> None:
    """Predict every image below a folder; write `unlabelled_predictions.csv` and `unlabelled.png`.

    The table has a row an image, in the order of their paths: `path` below the folder, `predicted` class, its
    `confidence`, and the probability of each class. The picture shows the least sure first. What cannot be opened is
    named and left out; where nothing is left nothing is written.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels, with a class head.
        root: folder of images, at any depth.
        image_size: height and width in pixels to which they are resized, as those to test with were.
        class_names: in label order.
        folder: for the files.
        title: names the model in the picture.
    """
    reader = ImageReader(root, None)
    table = _predict(model, reader, image_size, class_names)
    if table.empty:
        say(f"warning: no image below {root} can be opened; nothing is classified")
        return
    probabilities = predictions.probabilities(table)
    guesses = [class_names[label] for label in probabilities.argmax(axis=1)]
    told = table.rename(columns={"image_id": "path"}).drop(columns="label")
    told.insert(1, "predicted", guesses)
    told.insert(2, "confidence", probabilities.max(axis=1))
    with write_whole(folder / "unlabelled_predictions.csv") as temporary:
        told.to_csv(temporary, index=False)
    _draw(told, reader, folder / "unlabelled.png", title)


def _predict(
    model: Any, reader: ImageReader, image_size: tuple[int, int], class_names: tuple[str, ...]
) -> pd.DataFrame:
    """A predictions table with paths for ids; the labels, which nobody knows, are -1."""
    assert reader.root
    paths = sorted(find_files(reader.root))
    failed: dict[str, list[str]] = {}
    answered: list[str] = []
    probabilities = []
    shown = track(open_files(paths, image_size, lambda path: reader.read(path, None)), _TOLD, len(paths))
    for some in in_batches(shown, BATCH_SIZE):
        for one in some:
            if one.pixels is None:
                failed.setdefault(one.note, []).append(one.path)
        if usable := {one.path: one.pixels for one in some if one.pixels is not None}:
            probabilities.append(predict_heads(model, np.stack(list(usable.values())))["probabilities"])
            answered += usable
    for why, names in failed.items():
        say(f"images without classes left out ({why}): {name_some(names)}")
    answers = np.concatenate(probabilities) if probabilities else np.empty((0, len(class_names)))
    return predictions.make_table(answered, [-1] * len(answered), answers, class_names)


def _draw(told: pd.DataFrame, reader: ImageReader, path: Path, title: str) -> None:
    shown = told.sort_values(["confidence", "path"]).head(_SHOWN)
    pictures = [
        Picture(name, (Line(name, "", INK), Line(predicted, f", {confidence:.1%}", INK)))
        for name, predicted, confidence in zip(shown["path"], shown["predicted"], shown["confidence"], strict=True)
    ]
    part = f"; {_SHOWN} of {len(told):,} shown" if len(told) > _SHOWN else ""
    note = f"file; predicted class, its probability; the least sure first{part}"
    heading = f"{title}: what it takes images without a class for"
    draw_gallery(pictures, lambda one: decode(reader.read(one, None)).pixels, path, heading, note, "", _COLUMNS)
