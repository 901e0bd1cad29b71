"""Which images the page shows: samples of each class, pairs, quarantined ones, findings."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from tasks.manifest import usable
from tasks.validate.checked import CheckedData
from tasks.validate.tallies import RELATIONS, count_pairs, describe_findings, rank_pairs
from tasks.validate.thumbnails import Album, Picture
from tasks.validate.wording import count_reasons, kinds_of_reasons, title_of_check

SAMPLES_PER_CLASS = 8
MAX_CLASSES = 60
MAX_PAIRS = 50
MAX_QUARANTINED = 200
MAX_FINDINGS = 8
_FEWEST_SAMPLES = 2

_RELATION_WORDS = {
    "two classes": (
        "In two classes",
        "One of the two labels is wrong, or the classes overlap.",
    ),
    "two splits": (
        "In two splits",
        "What a model is judged on, it would have seen in training.",
    ),
    "one class": (
        "Within one class",
        "Harmless where a split keeps them together; they count the same picture twice.",
    ),
}


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading, `total` being how many there are with those that are not shown."""

    title: str
    total: int
    pictures: list[Picture]


@dataclass(frozen=True)
class Pair:
    """Two images that are equal (`exact`) or nearly so; `distance` in bits of their perceptual hashes."""

    first: Picture
    second: Picture
    kind: Literal["exact", "near"]
    distance: int


@dataclass(frozen=True)
class PairGallery:
    """Pairs of one relation; `counts` of each kind include those that are not shown."""

    title: str
    meaning: str
    counts: dict[str, int]
    pairs: list[Pair]


def show_samples(data: CheckedData, album: Album) -> list[Gallery]:
    """Usable images of each of the first classes: those of the least ids, which are hashes and so a fair draw."""
    rows = usable(data.table)
    shown = rows[rows["label"].between(0, MAX_CLASSES - 1)].sort_values("image_id")
    samples = shown.groupby("label").head(_samples_per_class(shown, album.budget))
    totals = rows["label"].value_counts()
    return [
        Gallery(name, int(totals.get(label, 0)), album.show(samples.index[samples["label"] == label].tolist()))
        for label, name in enumerate(data.class_names[:MAX_CLASSES])
    ]


def _samples_per_class(rows: pd.DataFrame, budget: int) -> int:
    """Fewer where the images are so large that half the budget does not suffice."""
    pixels = float((rows["width"] * rows["height"]).median()) if len(rows) else 1.0
    affordable = int(budget / 2 / max(pixels * rows["label"].nunique(), 1))
    return min(SAMPLES_PER_CLASS, max(affordable, _FEWEST_SAMPLES))


def show_pairs(data: CheckedData, album: Album) -> list[PairGallery]:
    """The pairs of most concern, by relation."""
    pairs = rank_pairs(data)
    counts, shown = count_pairs(pairs), pairs.head(MAX_PAIRS)
    return [
        PairGallery(*_RELATION_WORDS[relation], counts[relation], _pair_up(shown[shown["relation"] == relation], album))
        for relation in RELATIONS
        if counts[relation]
    ]


def _pair_up(pairs: pd.DataFrame, album: Album) -> list[Pair]:
    sides = (album.show(pairs["first"].tolist()), album.show(pairs["second"].tolist()))
    return [Pair(*of) for of in zip(*sides, pairs["kind"], pairs["distance"].astype(int), strict=True)]


def show_quarantined(table: pd.DataFrame, album: Album) -> list[Gallery]:
    """Quarantined images by kind of reason; the same number of each kind, as far as it goes."""
    kinds = kinds_of_reasons(table)
    in_turn = kinds.groupby(kinds).cumcount().sort_values(kind="stable").index[:MAX_QUARANTINED]
    chosen = kinds.loc[in_turn].sort_index()
    galleries = []
    for kind, total in count_reasons(table).items():
        rows = chosen.index[chosen == kind].tolist()
        galleries.append(Gallery(_sentence_case(kind), total, album.show(rows, table.loc[rows, "status"].tolist())))
    return galleries


def show_findings(data: CheckedData, album: Album) -> list[Gallery]:
    """What was found and does not quarantine, by check; as with the samples, the examples are a fair draw."""
    found = describe_findings(data)
    found = found.assign(image_id=data.table.loc[found["row"], "image_id"].to_numpy())
    galleries = []
    for check, rows in found[~found["quarantined"].astype(bool)].groupby("check", sort=False):
        some = rows.sort_values("image_id").head(MAX_FINDINGS)
        pictures = album.show(some["row"].tolist(), some["detail"].tolist())
        galleries.append(Gallery(title_of_check(str(check)), len(rows), pictures))
    return galleries


def _sentence_case(words: str) -> str:
    return words[:1].upper() + words[1:]
