"""Nearly equal images: recompressed, rescaled, brightened, slightly cropped or stamped copies of one picture.

Candidates are images whose 64-bit perceptual hashes differ in few bits. They are found without comparing all pairs: two
hashes that differ in at most 8 bits differ in at most one bit in at least one of five bands, so only hashes that nearly
agree in a band are compared (multi-index hashing: Norouzi, Punjani & Fleet, Fast Search in Hamming Space, CVPR 2012).
A hash of 64 bits takes unlike pictures for alike now and then, so each candidate is looked at: small grey versions of
both images must correlate. Mirrored copies are not found.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tasks.images import Pixels
from tasks.manifest import usable
from tasks.progress import track
from tasks.validate.checked import PAIR_COLUMNS

MAX_BITS = 8
# Chosen by looking: of pairs from photographs and from CIFAR-10 nearly all above are one picture or one scene moments
# apart, while from 0.85 down different cars, ships and bears in one pose begin to mix in.
MIN_CORRELATION = 0.9
THUMBNAIL_SIDE = 32
# imagehash scales to 32×32 before it looks; of less it would judge pixels that it made up itself.
MIN_SIDE = 32
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # first bit and width; 8 differing bits // 5 bands = 1
_PAIRS_AT_ONCE = 2_000_000

_Rows = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]


def find_near_duplicates(table: pd.DataFrame, read: Callable[[int], Pixels]) -> pd.DataFrame:
    """Pairs of usable images that are nearly but not exactly equal, both sides at least 32 pixels.

    Args:
        table: a manifest, index 0..n-1.
        read: position of a row -> its pixels, `(height, width, 3)` uint8.

    Returns:
        Columns `PAIR_COLUMNS`, kind `near`, first < second, sorted.
    """
    rows = usable(table)
    rows = rows[(rows["width"] >= MIN_SIDE) & (rows["height"] >= MIN_SIDE)]
    positions = rows.index.to_numpy(np.int64)
    hashes = np.array([int(text, 16) for text in rows["phash"]], dtype=np.uint64)
    first, second = (positions[chosen] for chosen in candidate_pairs(hashes))
    ids = table["image_id"].to_numpy()
    unlike = ids[first] != ids[second]
    first, second = first[unlike], second[unlike]
    alike = _correlations(first, second, read) >= MIN_CORRELATION
    distance = pd.Series(hashes, index=positions)
    bits = np.bitwise_count(distance[first].to_numpy() ^ distance[second].to_numpy()).astype(np.int64)
    pairs = pd.DataFrame({"first": first, "second": second, "kind": "near", "distance": bits}, columns=[*PAIR_COLUMNS])
    return pairs[alike].sort_values(["first", "second"], ignore_index=True)


def candidate_pairs(hashes: _Hashes) -> tuple[_Rows, _Rows]:
    """Positions of all pairs of hashes, first < second, that differ in at most `MAX_BITS` bits; each pair once.

    Args:
        hashes: `(n,)`.
    """
    found = [np.empty((0, 2), np.int64)]
    for start, width in _BANDS:
        keys = ((hashes >> np.uint64(start)) & np.uint64(2**width - 1)).astype(np.int64)
        for one, other in _agreeing_in_band(keys, width):
            near = np.bitwise_count(hashes[one] ^ hashes[other]) <= MAX_BITS
            ends = np.sort(np.column_stack([one[near], other[near]]), axis=1)
            found.append(np.unique(ends, axis=0))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _agreeing_in_band(keys: _Rows, width: int) -> Iterator[tuple[_Rows, _Rows]]:
    """Pairs of positions whose keys of `width` bits differ in at most one bit; some millions at a time."""
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys, minlength=2**width)
    starts = np.concatenate([[0], np.cumsum(counts)])
    rank = np.empty(len(keys), np.int64)
    rank[order] = np.arange(len(keys))
    everyone = np.arange(len(keys))
    # Within a bucket each pairs with those behind it.
    yield from _expand(everyone, rank + 1, starts[keys + 1] - rank - 1, order)
    for bit in range(width):
        # From the side whose bit is 0 alone, or each pair would come twice.
        asking = everyone[(keys >> bit) & 1 == 0]
        asked = keys[asking] | (1 << bit)
        yield from _expand(asking, starts[asked], counts[asked], order)


def _expand(asking: _Rows, begin: _Rows, lengths: _Rows, order: _Rows) -> Iterator[tuple[_Rows, _Rows]]:
    """Each asking position with the `lengths` positions of `order` from `begin` on."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_PAIRS_AT_ONCE, total + _PAIRS_AT_ONCE, _PAIRS_AT_ONCE))
    done = 0
    for cut in np.minimum(cuts + 1, len(asking)):
        some = slice(done, cut)
        repeated = np.repeat(asking[some], lengths[some])
        before = np.repeat(ends[some] - lengths[some], lengths[some])
        within = np.arange(len(repeated)) + (int(ends[done - 1]) if done else 0) - before
        yield repeated, order[np.repeat(begin[some], lengths[some]) + within]
        done = int(cut)


def _correlations(first: _Rows, second: _Rows, read: Callable[[int], Pixels]) -> npt.NDArray[np.float32]:
    """Of the small grey versions of two images each, -1..1; each image is read once."""
    involved = np.unique(np.concatenate([first, second]))
    normalised = np.zeros((len(involved), THUMBNAIL_SIDE**2), np.float32)
    for place, position in enumerate(track(involved, "Comparing similar images", total=len(involved))):
        normalised[place] = _normalised_thumbnail(read(int(position)))
    one, other = np.searchsorted(involved, first), np.searchsorted(involved, second)
    parts = [np.arange(start, min(start + 100_000, len(one))) for start in range(0, len(one), 100_000)]
    return np.concatenate(
        [np.empty(0, np.float32)] + [np.einsum("ij,ij->i", normalised[one[p]], normalised[other[p]]) for p in parts]
    )


def _normalised_thumbnail(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Grey levels about their mean, of length 1, flattened; zero where all are equal."""
    size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    grey = np.asarray(Image.fromarray(pixels).convert("L").resize(size, Image.Resampling.LANCZOS), np.float32).ravel()
    centred = grey - grey.mean()
    normalised: npt.NDArray[np.float32] = centred / max(float(np.linalg.norm(centred)), 1e-6)
    return normalised
