"""Opens every image of a listing once, and writes down what it is: facts alone, which do not depend on any bound."""

import hashlib
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.image_id import image_id
from tasks.images import DecodedImage, ImageReader, decode
from tasks.progress import track
from tasks.records import Listing
from tasks.spread import Spread, by_processes
from tasks.validate.fact_cache import KEY, Place, cache_file, image_keys, read_facts, write_facts

FACTS = {
    "image_id": "str",
    "bytes": "int64",
    "sha256": "str",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "format": "str",
    "brightness": "float64",
    "one_colour": "bool",
    "phash": "str",
    "error": "str",
}
# To be raised whenever the same file gives other facts than before, so that those that are kept are not believed.
_FACTS_VERSION = 1
# Levels between the darkest and the brightest pixel of each channel. A plain colour comes back from JPEG with 0; with
# noise of one level to either side, with 2 to 5 at qualities from 50 to 95 (measured with Pillow).
ONE_COLOUR_LEVELS = 5
# Starting workers costs one to two seconds; fewer images than this are opened sooner without them.
PARALLEL_ABOVE = 2_000
_ROWS_A_BATCH = 128


class _Facts(NamedTuple):
    """The columns of FACTS for one image; None where the file cannot tell."""

    image_id: str
    bytes: int
    sha256: str | None
    error: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    format: str | None = None
    brightness: float | None = None
    one_colour: bool = False
    phash: str | None = None


def inspect_images(listing: Listing, cache: Path, spread: Spread | None = None) -> pd.DataFrame:
    """Facts of every listed image, one row a row of the listing, in its order.

    Every image is opened and decoded fully, once, by the decoder that training uses; one that has not changed since an
    earlier time is not opened at all, its facts being kept below `cache / "inspections"`.

    Args:
        listing: of the images.
        cache: where facts are kept.
        spread: opens the images of a large set; null: worker processes of this machine do.

    Returns:
        A table with index 0..n-1 and the columns of `FACTS`: those of `tasks/manifest.py`, and
        `one_colour` bool: every channel of every pixel is the same, but for noise;
        `error` str: the reason why it cannot be read or decoded, in the same words on every machine, or null. Then what
        the file would have told is null (`one_colour` is false, `bytes` is 0 where there is nothing to read), and
        `image_id` is the sha256 of its bytes or, where it cannot even be read, of its path.

    Raises:
        ValueError: the listing has rows with neither a path below a root nor an index into a store.
    """
    reader = ImageReader(listing.root, listing.store)
    keys = image_keys(reader, _places(pd.read_parquet(listing.path)))
    kept_in = cache_file(cache, reader, f"{_FACTS_VERSION} {version('pillow')} {version('imagehash')}")
    known = read_facts(kept_in, FACTS)
    found = _inspect_unknown(reader, keys, known, kept_in, spread or by_processes)
    facts = keys.merge(pd.concat([known, found]), on=KEY, how="left", validate="many_to_one")
    return facts[list(FACTS)].astype(FACTS)


def _places(listed: pd.DataFrame) -> list[Place]:
    """Path and index of every row, None where the listing has none."""
    columns = listed.reindex(columns=["path", "index"]).astype(object)
    paths, indices = (columns[name].where(columns[name].notna(), None) for name in columns)
    return [(path, None if index is None else int(index)) for path, index in zip(paths, indices, strict=True)]


def _inspect_unknown(
    reader: ImageReader, keys: pd.DataFrame, known: pd.DataFrame, kept_in: Path, spread: Spread
) -> pd.DataFrame:
    """Keys and facts of the images that are not known, each once, however often it is listed; they are kept, too."""
    is_known = keys.merge(known[KEY], on=KEY, how="left", indicator=True)["_merge"] == "both"
    unknown = keys[~is_known.to_numpy()].drop_duplicates().reset_index(drop=True)
    found: list[_Facts] = []
    try:
        for facts in track(_inspect_all(reader, _places(unknown), spread), "Checking images", total=len(unknown)):
            found.append(facts)
    finally:  # what was found before an interruption is kept: a large set takes an hour
        table = pd.DataFrame(found, columns=list(_Facts._fields)).astype(FACTS)
        table = unknown.head(len(found)).join(table)
        write_facts(known, table, kept_in)
    return table


def _inspect_all(reader: ImageReader, places: list[Place], spread: Spread) -> Iterator[_Facts]:
    """Facts in the order of the places; spread where there are many."""
    batches = (places[start : start + _ROWS_A_BATCH] for start in range(0, len(places), _ROWS_A_BATCH))
    work = partial(_inspect_batch, reader)
    for facts in spread(work, batches) if len(places) > PARALLEL_ABOVE else map(work, batches):
        yield from facts


def _inspect_batch(reader: ImageReader, places: list[Place]) -> list[_Facts]:
    with warnings.catch_warnings():
        # Pillow warns of broken metadata beside sound pixels, and of broken pixels just before it refuses them.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        return [_inspect(reader, path, index) for path, index in places]


def _inspect(reader: ImageReader, path: str | None, index: int | None) -> _Facts:
    try:
        encoded = reader.read(path, index)
    except OSError as error:
        return _Facts(_sha256(str(path).encode()), 0, None, _reason_unreadable(error))
    sha256 = _sha256(encoded)
    if not encoded:
        return _Facts(sha256, 0, sha256, "empty file: it has 0 bytes")
    try:
        image = decode(encoded)
    except (OSError, Image.DecompressionBombError) as error:
        return _Facts(sha256, len(encoded), sha256, _reason_undecodable(error))
    return _describe(image, len(encoded), sha256)


def _describe(image: DecodedImage, size: int, sha256: str) -> _Facts:
    height, width = image.pixels.shape[:2]
    picture = Image.fromarray(image.pixels)
    grey = picture.convert("L")
    return _Facts(
        image_id=image_id(image.pixels),
        bytes=size,
        sha256=sha256,
        width=width,
        height=height,
        mode=image.mode,
        format=image.format,
        brightness=float(np.asarray(grey).mean()),
        one_colour=_is_one_colour(picture),
        phash=str(imagehash.phash(grey)),
    )


def _is_one_colour(picture: Image.Image) -> bool:
    """Fully black, white, or of any one colour: ONE_COLOUR_LEVELS apart at most."""
    darkest, brightest = np.asarray(picture.getextrema()).T
    return bool((brightest - darkest <= ONE_COLOUR_LEVELS).all())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _reason_unreadable(error: OSError) -> str:
    """Without the path, which differs between machines."""
    if isinstance(error, FileNotFoundError):
        return "missing file: it was listed, but is not there"
    return f"cannot be read: {error.strerror or type(error).__name__}"


def _reason_undecodable(error: Exception) -> str:
    """Without the address in memory that Pillow puts into its message for what is no image."""
    if isinstance(error, UnidentifiedImageError):
        return "cannot be decoded: not an image, or in no format that Pillow knows"
    message = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: {message}"
    return f"cannot be decoded: {message}"
