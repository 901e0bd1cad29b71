"""What a page tells of one image: the classes with their confidence, where the evidence lies, the box, a note."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.answers import Answer, describe
from tasks.heat_map import Map
from tasks.images import Pixels, decode
from tasks.opening import Opened, in_batches, open_pixels, read_file, what_was_done, why_not_opened
from tasks.prediction import predict_heads
from tasks.serve.ready import ReadyModel
from tasks.serve.shown import as_data_uri, lay_evidence, shrink

_TOP = 5
_AT_ONCE = 8  # images of one Grad-CAM; its gradients hold all that the network answered to them


@dataclass(frozen=True)
class Card:
    """One image.

    Attributes:
        name: of its file.
        note: why it cannot be used, or what was done to it; empty where there is nothing to say.
        picture: data URI; empty where the file cannot be used.
        evidence: data URI of Grad-CAM over the image; empty where there is none.
        bars: the most probable classes with their probability, the first one first.
        box: x, y, width, height in per cent of the image, cut at its edges, or None.
        sha256: of the file; empty where nobody is asked whether the answer is right.
    """

    name: str
    note: str = ""
    picture: str = ""
    evidence: str = ""
    bars: tuple[tuple[str, float], ...] = ()
    box: tuple[float, float, float, float] | None = None
    sha256: str = ""


@dataclass(frozen=True)
class _Picture:
    """Of a file: what the model is given, and what the page shows."""

    opened: Opened
    shown: Pixels = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    sha256: str = ""


def make_cards(ready: ReadyModel, files: Sequence[Path]) -> list[Card]:
    """A card a file, in order; one that cannot be used has a sentence.

    Files are opened one after the other: memory holds one large photograph at a time.
    """
    return _answer(ready, (_open(path, ready.served.image_size) for path in files))


def make_sample_card(ready: ReadyModel, number: int) -> Card:
    """Of one of the model's own test images, which nobody is asked about: the class is known, and must not be learned.

    Raises:
        IndexError: there is no such image.
    """
    pixels = ready.samples[number]
    picture = _Picture(open_pixels(f"test image {number + 1}", pixels, ready.served.image_size), shrink(pixels))
    return _answer(ready, [picture])[0]


def _open(path: Path, image_size: tuple[int, int]) -> _Picture:
    try:
        encoded = read_file(str(path))
        image = decode(encoded)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return _Picture(Opened(path.name, None, why_not_opened(error)))
    opened = open_pixels(path.name, image.pixels, image_size, what_was_done(image))
    if opened.pixels is None:
        return _Picture(opened)
    return _Picture(opened, shrink(image.pixels), hashlib.sha256(encoded).hexdigest())


def _answer(ready: ReadyModel, pictures: Iterable[_Picture]) -> list[Card]:
    return [card for some in in_batches(pictures, _AT_ONCE) for card in _answer_some(ready, some)]


def _answer_some(ready: ReadyModel, pictures: Sequence[_Picture]) -> Iterator[Card]:
    usable = [picture.opened.pixels for picture in pictures if picture.opened.pixels is not None]
    answers = iter(_ask(ready, np.stack(usable)) if usable else ())
    for picture in pictures:
        if picture.opened.pixels is None:
            yield Card(picture.opened.path, picture.opened.note)
        else:
            yield _make_card(picture, *next(answers))


def _ask(ready: ReadyModel, pixels: Pixels) -> Iterator[tuple[Answer, Map | None]]:
    """What the model answers to each image, and where the evidence for it lies."""
    heads = predict_heads(ready.served.model, pixels)
    maps = ready.evidence(pixels, heads["probabilities"]) if "probabilities" in heads else None
    answers = describe(heads, ready.served.class_names)
    return zip(answers, [None] * len(pixels) if maps is None else maps, strict=True)


def _make_card(picture: _Picture, answer: Answer, evidence: Map | None) -> Card:
    bars = sorted((answer["probabilities"] or {}).items(), key=lambda bar: -bar[1])[:_TOP]
    return Card(
        picture.opened.path,
        picture.opened.note,
        as_data_uri(picture.shown),
        "" if evidence is None else as_data_uri(lay_evidence(picture.shown, evidence)),
        tuple(bars),
        _in_per_cent(answer["box"]) if answer["box"] else None,
        picture.sha256 if bars else "",
    )


def _in_per_cent(box: dict[str, float]) -> tuple[float, float, float, float]:
    """Left, top, width and height of what of the box lies in the image."""
    left, top = (min(max(box[side], 0.0), 1.0) for side in ("x", "y"))
    right, bottom = min(box["x"] + box["width"], 1.0), min(box["y"] + box["height"], 1.0)
    return left * 100, top * 100, max(right - left, 0.0) * 100, max(bottom - top, 0.0) * 100
