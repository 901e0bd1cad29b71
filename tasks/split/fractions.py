"""Parts that are asked for as fractions: by each group's own draw, so that images which are added move nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil

from tasks.split.groups import DRAWS, Group

REST = "rest"
"""The part that no fraction takes."""

Parts = dict[str, str]
"""A group's name -> its part."""


def take_fractions(groups: Sequence[Group], fractions: Mapping[str, float], rest: int) -> Parts:
    """The part of every group: the first whose share of all possible draws, laid end to end, holds the group's draw.

    A class that gets nothing of a part in this way, or too little of the rest, gets groups of its own for it: the first
    part the one with the lowest draw, the rest those with the highest, a part between them the one that is nearest.

    Args:
        groups: by rising draw.
        fractions: part -> above 0, together below 1; at most two.
        rest: images that every class leaves over at least, as far as it has them.
    """
    limits = _limits(fractions)
    parts = {group.name: _part(group, limits) for group in groups}
    if fractions:
        _fill_small_classes(groups, parts, tuple(fractions), rest)
    return parts


def _limits(fractions: Mapping[str, float]) -> dict[str, int]:
    """Part -> the lowest draw beyond it. A fraction is what it reads as: 0.15 is 3/20, not the float next to it."""
    limits, total = {}, Fraction(0)
    for name, fraction in fractions.items():
        total += Fraction(str(fraction))
        limits[name] = ceil(total * DRAWS)
    return limits


def _part(group: Group, limits: Mapping[str, int]) -> str:
    return next((name for name, limit in limits.items() if group.draw < limit), REST)


def _fill_small_classes(groups: Sequence[Group], parts: Parts, names: tuple[str, ...], rest: int) -> None:
    """Give every class an image of every part, as far as it has groups that can be spared; changes `parts`."""
    held: Counter[tuple[int, str]] = Counter()
    for group in groups:
        held.update({(label, parts[group.name]): images for label, images in group.labels.items()})
    first, *between = names
    least = {first: 1, REST: rest, **dict.fromkeys(between, 1)}  # a part between is filled last
    for label in sorted({label for group in groups for label in group.labels}):
        for name in least:
            if held[label, name] < least[name]:
                own = [group for group in groups if label in group.labels]
                _fill(name, own, label, parts, held, least)


def _fill(
    name: str, own: Sequence[Group], label: int, parts: Parts, held: Counter[tuple[int, str]], least: Mapping[str, int]
) -> None:
    """Move groups of a class into a part until it holds enough; changes `parts` and `held`."""
    for group in _nearest(own, name, parts, tuple(least)):
        if held[label, name] >= least[name]:
            return
        left = parts[group.name]
        if left != name and _can_spare(group, label, left, held, least):
            for other, images in group.labels.items():
                held[other, left] -= images
                held[other, name] += images
            parts[group.name] = name


def _nearest(own: Sequence[Group], name: str, parts: Parts, names: tuple[str, ...]) -> list[Group]:
    """A class's groups in the order in which a part may take them; `names` as they are filled."""
    first, last, *_ = names
    if name == first:
        return list(own)
    if name == last:
        return list(reversed(own))
    above = [group for group in own if parts[group.name] == last]
    return above + [group for group in reversed(own) if parts[group.name] == first]


def _can_spare(group: Group, label: int, part: str, held: Counter[tuple[int, str]], least: Mapping[str, int]) -> bool:
    """Whether each of the group's classes keeps enough in the part that it leaves, or has it filled later."""
    _, _, *filled_last = least
    return all(
        held[other, part] - images >= least[part] or (other == label and part in filled_last)
        for other, images in group.labels.items()
    )
