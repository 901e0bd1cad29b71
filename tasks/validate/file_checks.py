"""Opens every image of a listing once, and writes down what it is, or why it cannot be used."""

import hashlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import imagehash
import joblib
import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from pipeline_config.experiment import Validation
from tasks.images import DecodedImage, ImageReader, Pixels, decode
from tasks.manifest import conform
from tasks.progress import track
from tasks.records import Listing

# Starting workers costs one to two seconds; fewer images than this are opened sooner without them.
PARALLEL_ABOVE = 2_000
_ROWS_A_BATCH = 128

_Place = tuple[str | None, int | None]


class _Finding(NamedTuple):
    """The manifest's columns that only the file itself can tell; None where it cannot."""

    image_id: str
    bytes: int
    sha256: str | None
    status: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    phash: str | None = None


def inspect_images(listing: Listing, bounds: Validation) -> pd.DataFrame:
    """The listing as a manifest, every image opened exactly once; every row stays, in the listing's order.

    `status` is `ok` or the reason why the image cannot be used: the same words on every machine, as it enters the
    manifest's digest. `group` is the image's own id and `split` the given one. Where a file does not decode, what it
    would have told is null (`bytes` is 0 where there is nothing to read), and `image_id` is that of its bytes or, where
    it cannot even be read, of its path.

    Raises:
        ValueError: the listing has rows with neither a path below a root nor an index into a store.
    """
    listed = pd.read_parquet(listing.path)
    reader = ImageReader(listing.root, listing.store)
    shown = track(_inspect_all(reader, _places(listed), bounds), "Checking images", total=len(listed))
    found = pd.DataFrame(list(shown), columns=list(_Finding._fields), index=listed.index)
    return conform(listed.assign(**found, group=found["image_id"]))


def _places(listed: pd.DataFrame) -> list[_Place]:
    """Path and index of every row, None where the listing has none."""
    columns = listed.reindex(columns=["path", "index"]).astype(object)
    paths, indices = (columns[name].where(columns[name].notna(), None) for name in columns)
    return [(path, None if index is None else int(index)) for path, index in zip(paths, indices, strict=True)]


def _inspect_all(reader: ImageReader, places: list[_Place], bounds: Validation) -> Iterator[_Finding]:
    """Findings in the order of the places; by worker processes where there are many, which get whole batches."""
    batches = (places[start : start + _ROWS_A_BATCH] for start in range(0, len(places), _ROWS_A_BATCH))
    workers = joblib.cpu_count() if len(places) > PARALLEL_ABOVE else 1
    run = joblib.Parallel(n_jobs=workers, backend="loky", return_as="generator")
    for findings in run(joblib.delayed(_inspect_batch)(reader, batch, bounds) for batch in batches):
        yield from findings


def _inspect_batch(reader: ImageReader, places: list[_Place], bounds: Validation) -> list[_Finding]:
    with warnings.catch_warnings():
        # Pillow warns of broken metadata beside sound pixels, and of broken pixels just before it refuses them.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        return [_inspect(reader, path, index, bounds) for path, index in places]


def _inspect(reader: ImageReader, path: str | None, index: int | None, bounds: Validation) -> _Finding:
    try:
        encoded = reader.read(path, index)
    except OSError as error:
        return _Finding(_sha256(str(path).encode()), 0, None, _reason_unreadable(error))
    sha256 = _sha256(encoded)
    if not encoded:
        return _Finding(sha256, 0, sha256, "empty file: it has 0 bytes")
    try:
        image = decode(encoded)
    except (OSError, Image.DecompressionBombError) as error:
        return _Finding(sha256, len(encoded), sha256, _reason_undecodable(error))
    return _describe(image, len(encoded), sha256, bounds)


def _describe(image: DecodedImage, size: int, sha256: str, bounds: Validation) -> _Finding:
    height, width = image.pixels.shape[:2]
    return _Finding(
        image_id=_image_id(image.pixels),
        bytes=size,
        sha256=sha256,
        status=_status_by_size(width, height, bounds),
        width=width,
        height=height,
        mode=image.mode,
        phash=str(imagehash.phash(Image.fromarray(image.pixels))),
    )


def _image_id(pixels: Pixels) -> str:
    """sha256 over shape and pixels, so that 2 × 8 and 4 × 4 pixels of one colour differ."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _status_by_size(width: int, height: int, bounds: Validation) -> str:
    if min(width, height) < bounds.min_side:
        return f"too small: {width} × {height} pixels, expected at least {bounds.min_side} a side"
    if max(width, height) > bounds.max_side:
        return f"too large: {width} × {height} pixels, expected at most {bounds.max_side} a side"
    return "ok"


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
