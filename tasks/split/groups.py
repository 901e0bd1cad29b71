"""Groups of images that no split may part, each with its draw."""

import hashlib
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

import pandas as pd

DRAWS = 2**256
"""Number of values that a draw can have."""


@dataclass(frozen=True)
class Group:
    """Images that belong together.

    Attributes:
        name: the manifest's `group`.
        draw: 0..DRAWS-1, the least of its images' draws, so that an image which joins can only lower it.
        rows: where its images stand in the manifest's index.
        labels: label -> number of its images; near-duplicates may be filed under different classes.
    """

    name: str
    draw: int
    rows: tuple[Hashable, ...]
    labels: Counter[int]


def draw_groups(rows: pd.DataFrame, seed: int) -> list[Group]:
    """The groups of a manifest's rows by rising draw, whatever the order of the rows."""
    draws: dict[str, int] = {}
    members: dict[str, list[Hashable]] = {}
    labels: dict[str, Counter[int]] = {}
    for index, image_id, name, label in zip(rows.index, rows["image_id"], rows["group"], rows["label"], strict=True):
        draws[name] = min(_draw(seed, image_id), draws.get(name, DRAWS))
        members.setdefault(name, []).append(index)
        labels.setdefault(name, Counter())[label] += 1
    groups = [Group(name, draws[name], tuple(members[name]), labels[name]) for name in draws]
    return sorted(groups, key=lambda group: (group.draw, group.name))


def _draw(seed: int, image_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest())
