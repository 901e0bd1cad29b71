"""Images that only one of the models gets right, with what the others take them for."""

from dataclasses import dataclass

import numpy as np

from tasks.compare.answers import Answers
from tasks.compare.rows import Row
from tasks.compare.table import Group

MOST_MODELS = 12
MOST_IMAGES = 8
_MOST_ANSWERS = 3


@dataclass(frozen=True)
class LoneImage:
    """One image.

    Attributes:
        others: what the other models say, with their ranks, the most frequent first: `dog (2, 3), fox (4)`.
    """

    image_id: str
    true: str
    others: str


@dataclass(frozen=True)
class LoneHits:
    """What only this model gets right.

    Attributes:
        count: of such images.
        images: at most `MOST_IMAGES`, those first of which the model is the surest.
    """

    row: Row
    count: int
    images: tuple[LoneImage, ...]


def find_lone_hits(group: Group) -> tuple[LoneHits, ...]:
    """Of each of the best `MOST_MODELS` models; nothing where fewer than two have class predictions at hand."""
    known = [(row, group.answers[row.run_id]) for row in group.rows if row.run_id in group.answers]
    known = [(row, answers) for row, answers in known if answers.predicted is not None]
    if len(known) < 2:
        return ()
    right = np.stack([answers.predicted == answers.labels for _, answers in known])
    alone = right.sum(axis=0) == 1
    lone = []
    for (row, answers), hits in zip(known[:MOST_MODELS], right, strict=False):
        rows = np.flatnonzero(hits & alone)
        surest = rows[np.argsort(answers.losses[rows], kind="stable")] if answers.losses is not None else rows
        others = {other.rank: said for other, said in known if other is not row}
        images = tuple(_describe(int(position), answers, others) for position in surest[:MOST_IMAGES])
        lone.append(LoneHits(row, len(rows), images))
    return tuple(lone)


def _describe(position: int, answers: Answers, others: dict[int, Answers]) -> LoneImage:
    said: dict[str, list[str]] = {}
    for rank, other in others.items():
        if other.predicted is not None:
            said.setdefault(other.class_names[other.predicted[position]], []).append(str(rank))
    most_frequent_first = sorted(said.items(), key=lambda item: -len(item[1]))
    told = [f"{name} ({', '.join(ranks)})" for name, ranks in most_frequent_first[:_MOST_ANSWERS]]
    more = [f"{len(said) - _MOST_ANSWERS} more"] if len(said) > _MOST_ANSWERS else []
    true = answers.class_names[answers.labels[position]]
    return LoneImage(str(answers.image_ids[position]), true, ", ".join(told + more))


def ids_of(lone: tuple[LoneHits, ...]) -> list[str]:
    """Image ids of all that are shown, each once."""
    return list(dict.fromkeys(image.image_id for hits in lone for image in hits.images))
