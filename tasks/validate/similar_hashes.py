"""Hashes that differ in few bits, found without comparing all pairs.

Two hashes that differ in at most 8 bits differ in at most one bit in at least one of five bands, so only hashes that
nearly agree in a band are compared (multi-index hashing: Norouzi, Punjani & Fleet, Fast Search in Hamming Space, CVPR
2012). Where a set is dense, as the frames of a fixed camera or blank pages are, all pairs are too many to hold; then
each hash keeps some of its neighbours, through which nearly all stay connected.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

MAX_BITS = 8
# So many neighbours with a greater hash, and so many images with the same hash, an image is paired with.
MOST_NEIGHBOURS = 100
# So many of a bucket a hash is compared with; in a million hashes at random a bucket holds about 120.
MOST_COMPARED = 500
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # first bit and width; 8 differing bits // 5 bands = 1
_PAIRS_AT_ONCE = 2_000_000

_Rows = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]


def candidate_pairs(hashes: _Hashes) -> tuple[_Rows, _Rows]:
    """Positions of pairs of hashes, one < other, that differ in at most `MAX_BITS` bits; each pair once, sorted.

    All such pairs, but where a hash has more than `MOST_NEIGHBOURS` neighbours.

    Args:
        hashes: `(n,)`, sorted.
    """
    distinct, starts, counts = np.unique(hashes, return_index=True, return_counts=True)
    behind = np.arange(len(hashes)) + 1
    ends = np.repeat(starts + counts, counts)
    equal = _ranges(behind - 1, behind, np.minimum(ends - behind, MOST_NEIGHBOURS))
    found = [equal, *_between(*_similar(distinct), starts, np.minimum(counts, MOST_NEIGHBOURS))]
    one, other = (np.concatenate(side) for side in zip(*found, strict=True))
    order = np.lexsort((other, one))
    return one[order], other[order]


def _similar(distinct: _Hashes) -> tuple[_Rows, _Rows]:
    """As `candidate_pairs`, of hashes that are sorted and none twice."""
    number = np.int64(len(distinct))
    found = np.empty(0, np.int64)  # pairs as one × number + other, which sorts faster than rows of two
    for start, width in _BANDS:
        keys = ((distinct >> np.uint64(start)) & np.uint64(2**width - 1)).astype(np.int64)
        parts = [found]
        for asking, asked in _agreeing_in_band(keys, width):
            near = np.flatnonzero(np.bitwise_count(distinct[asking] ^ distinct[asked]) <= MAX_BITS)
            near = near[_place_in_run(asking[near]) < MOST_NEIGHBOURS]
            one, other = np.minimum(asking[near], asked[near]), np.maximum(asking[near], asked[near])
            parts.append(one * number + other)
        found = np.unique(np.concatenate(parts))
        found = found[_place_in_run(found // number) < MOST_NEIGHBOURS]
    return found // number, found % number


def _agreeing_in_band(keys: _Rows, width: int) -> Iterator[tuple[_Rows, _Rows]]:
    """Pairs of positions whose keys of `width` bits differ in at most one bit; some millions at a time."""
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys, minlength=2**width)
    starts = np.concatenate([[0], np.cumsum(counts)])
    rank = np.empty(len(keys), np.int64)
    rank[order] = np.arange(len(keys))
    everyone = np.arange(len(keys))
    # Within a bucket each is compared with those behind it.
    yield from _in_parts(everyone, rank + 1, starts[keys + 1] - rank - 1, order)
    for bit in range(width):
        # From the side whose bit is 0 alone, or each pair would come twice.
        asking = everyone[(keys >> bit) & 1 == 0]
        asked = keys[asking] | (1 << bit)
        yield from _in_parts(asking, starts[asked], counts[asked], order)


def _in_parts(asking: _Rows, begin: _Rows, lengths: _Rows, order: _Rows) -> Iterator[tuple[_Rows, _Rows]]:
    """Each asking position with the first `lengths` positions of `order` from `begin` on, bounded in number."""
    lengths = np.minimum(lengths, MOST_COMPARED)
    part = np.cumsum(lengths) // _PAIRS_AT_ONCE
    for some in np.split(np.arange(len(asking)), np.flatnonzero(np.diff(part)) + 1):
        one, place = _ranges(asking[some], begin[some], lengths[some])
        yield one, order[place]


def _ranges(values: _Rows, begin: _Rows, lengths: _Rows) -> tuple[_Rows, _Rows]:
    """Each value `lengths` times, beside `begin`, `begin` + 1 and so on."""
    ends = np.cumsum(lengths)
    within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    return np.repeat(values, lengths), np.repeat(begin, lengths) + within


def _between(one: _Rows, other: _Rows, starts: _Rows, counts: _Rows) -> Iterator[tuple[_Rows, _Rows]]:
    """Pairs of distinct hashes -> pairs of the positions that hold them, `counts` from `starts` on."""
    pair, first = _ranges(np.arange(len(one)), starts[one], counts[one])
    yield _ranges(first, starts[other[pair]], counts[other[pair]])


def _place_in_run(values: _Rows) -> _Rows:
    """0, 1, 2 and so on within each run of equal values."""
    begins = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(begins, np.diff(begins, append=len(values)))
