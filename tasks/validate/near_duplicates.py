"""Nearly equal images: recompressed, rescaled, brightened, slightly cropped or stamped copies of one picture.

Candidates are images whose 64-bit perceptual hashes differ in few bits (`similar_hashes.py`). A hash of 64 bits takes
unlike pictures for alike now and then, so each candidate is looked at: the details of small grey versions of both
images must correlate. Mirrored copies are not found.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tasks.images import Pixels
from tasks.manifest import usable
from tasks.progress import track
from tasks.validate.checked import PAIR_COLUMNS
from tasks.validate.similar_hashes import candidate_pairs

# Chosen by looking at pairs from four sets of photographs and from CIFAR-10: nearly all above are one picture or one
# scene moments apart; from 0.77 down different bears, ships and roads in one pose mix in.
MIN_CORRELATION = 0.8
THUMBNAIL_SIDE = 32
# imagehash scales to 32×32 before it looks; of less it would judge pixels that it made up itself.
MIN_SIDE = 32
# What is brighter than its surroundings, not what is bright: a light sky over dark ground is common to many pictures.
_SURROUNDINGS = 2.5  # standard deviation of the Gaussian, pixels of the thumbnail
_LEAST_DETAIL = 1.0  # standard deviation, grey levels; below is the noise of an even surface
_MAX_SHIFT = 2  # pixels of the thumbnail, each way: what cropping by a hair moves
_PAIRS_AT_ONCE = 2_000

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


def find_near_duplicates(table: pd.DataFrame, read: Callable[[int], Pixels]) -> pd.DataFrame:
    """Pairs of usable images that are nearly but not exactly equal, both sides at least 32 pixels.

    Args:
        table: a manifest, index 0..n-1.
        read: position of a row -> its pixels, `(height, width, 3)` uint8.

    Returns:
        Columns `PAIR_COLUMNS`, kind `near`, first < second, sorted.
    """
    rows = usable(table)
    rows = rows[(rows["width"] >= MIN_SIDE) & (rows["height"] >= MIN_SIDE)].sort_values(["phash", "image_id"])
    hashes = np.array([int(text, 16) for text in rows["phash"]], dtype=np.uint64)
    one, other = candidate_pairs(hashes)
    ids = rows["image_id"].to_numpy()
    unlike = ids[one] != ids[other]
    one, other = one[unlike], other[unlike]
    positions = rows.index.to_numpy(np.int64)
    ends = np.sort(np.column_stack([positions[one], positions[other]]), axis=1)
    bits = np.bitwise_count(hashes[one] ^ hashes[other]).astype(np.int64)
    pairs = pd.DataFrame({"first": ends[:, 0], "second": ends[:, 1], "kind": "near", "distance": bits})
    alike = _correlations(positions[one], positions[other], read) >= MIN_CORRELATION
    return pairs.loc[alike, [*PAIR_COLUMNS]].sort_values(["first", "second"], ignore_index=True)


def _correlations(one: _Rows, other: _Rows, read: Callable[[int], Pixels]) -> _Floats:
    """Of the details of two images each, -1..1; each image is read once."""
    involved = np.unique(np.concatenate([one, other]))
    thumbnails = np.zeros((len(involved), THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
    for place, position in enumerate(track(involved, "Comparing similar images", total=len(involved))):
        thumbnails[place] = _thumbnail(read(int(position)))
    first, second = np.searchsorted(involved, one), np.searchsorted(involved, other)
    parts = [slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(one), _PAIRS_AT_ONCE)]
    found = [_best_correlation(_detail(thumbnails[first[p]]), _detail(thumbnails[second[p]])) for p in parts]
    return np.concatenate([np.empty(0, np.float32), *found])


def _thumbnail(pixels: Pixels) -> Pixels:
    size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(Image.fromarray(pixels).convert("L").resize(size, Image.Resampling.LANCZOS))


def _detail(thumbnails: Pixels) -> _Floats:
    """Grey levels about those of the surroundings, `(n, side, side)`; zero for images that are all but even."""
    from scipy.ndimage import gaussian_filter

    grey = thumbnails.astype(np.float32)
    detail: _Floats = grey - gaussian_filter(grey, (0, _SURROUNDINGS, _SURROUNDINGS))
    detail[detail.std(axis=(1, 2)) < _LEAST_DETAIL] = 0
    return detail


def _best_correlation(one: _Floats, other: _Floats) -> _Floats:
    """Of the middle of each with the same-sized patch of the other, at the shift where they agree most; `(n,)`."""
    side = THUMBNAIL_SIDE - 2 * _MAX_SHIFT
    middle = _normalised(one[:, _MAX_SHIFT : _MAX_SHIFT + side, _MAX_SHIFT : _MAX_SHIFT + side])
    best = np.full(len(one), -1, np.float32)
    for down in range(2 * _MAX_SHIFT + 1):
        for right in range(2 * _MAX_SHIFT + 1):
            patch = _normalised(other[:, down : down + side, right : right + side])
            best = np.maximum(best, np.einsum("ij,ij->i", middle, patch))
    return best


def _normalised(patches: _Floats) -> _Floats:
    """Flattened, about their mean, of length 1; zero where all are equal."""
    flat = patches.reshape(len(patches), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    normalised: _Floats = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return normalised
