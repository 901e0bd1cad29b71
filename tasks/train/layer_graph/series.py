"""A network's graph as a series of layers and of branches side by side, each branch a series again."""

from collections.abc import Sequence
from dataclasses import dataclass

Edge = tuple[int, int]
_START = -1


@dataclass(frozen=True)
class Branches:
    """Ways from what stands before to what comes after; one without layers passes by, as a skip connection does."""

    lanes: "tuple[Series, ...]"


@dataclass(frozen=True)
class Tangle:
    """Positions of layers that are connected crosswise, so that no order of branches tells how."""

    positions: tuple[int, ...]


Series = tuple[int | Branches | Tangle, ...]
"""Positions of layers, and branches, one after the other."""


def series_of(sources: Sequence[Sequence[int]]) -> Series:
    """The graph's series-parallel form (after Valdes, Tarjan and Lawler 1982), found from the layers' order.

    Args:
        sources: for each layer the positions of those whose outputs it takes, all of them before it; without any it
            takes the network's input, and one that no other takes is an output.
    """
    end = len(sources)
    taken = {source for ones in sources for source in ones}
    edges = {(source, position) for position, ones in enumerate(sources) for source in ones or (_START,)}
    edges |= {(position, end) for position in range(end) if position not in taken}
    return _series(tuple(range(end)), edges, end)


def _series(positions: Sequence[int], edges: set[Edge], end: int) -> Series:
    """Between layers that every way passes through stand branches, or nothing."""
    passed = [position for position in positions if not any(first < position < last for first, last in edges)]
    series: list[int | Branches | Tangle] = []
    for before, after in zip([_START, *passed], [*passed, end], strict=True):
        between = [position for position in positions if before < position < after]
        if between:
            series.append(_branches(between, edges, (before, after), end))
        if after != end:
            series.append(after)
    return tuple(series)


def _branches(positions: Sequence[int], edges: set[Edge], around: Edge, end: int) -> Branches | Tangle:
    parts = _connected(positions, edges)
    passes_by = around in edges
    if len(parts) == 1 and not passes_by:
        return Tangle(tuple(positions))
    lanes = [_series(part, _edges_of(part, edges, end), end) for part in parts]
    lanes.sort(key=len, reverse=True)
    return Branches((*lanes, ()) if passes_by else tuple(lanes))


def _connected(positions: Sequence[int], edges: set[Edge]) -> list[tuple[int, ...]]:
    """Groups of layers between which there is a connection that stays among them."""
    group = {position: {position} for position in positions}
    for first, last in edges:
        if first in group and last in group and group[first] is not group[last]:
            joined = group[first] | group[last]
            group.update(dict.fromkeys(joined, joined))
    return list(dict.fromkeys(tuple(sorted(group[position])) for position in positions))


def _edges_of(part: Sequence[int], edges: set[Edge], end: int) -> set[Edge]:
    """Those that touch the part; what lies outside of it is its beginning or its end."""
    inside = set(part)
    return {
        (first if first in inside else _START, last if last in inside else end)
        for first, last in edges
        if first in inside or last in inside
    }
