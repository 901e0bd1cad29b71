"""Facts of images that were found before, kept so that a file that has not changed is not opened again."""

import hashlib
import os
from pathlib import Path

import pandas as pd

from tasks.files import write_whole
from tasks.images import ImageReader

Place = tuple[str | None, int | None]
"""Path below the root, or index in the store."""

KEY = ["path", "index", "size", "mtime_ns"]
_KEY_DTYPES = {"path": "str", "index": "Int64", "size": "int64", "mtime_ns": "int64"}
_NO_FILE = (-1, -1)


def image_keys(reader: ImageReader, places: list[Place]) -> pd.DataFrame:
    """What tells that an image is the one that was seen before: the columns of KEY, a row for each place.

    Size in bytes and time of the last change, in nanoseconds, are those of the file, or of the whole store; -1 where
    there is no file to be read. A change that leaves both as they were is not seen.

    Raises:
        ValueError: a place with neither a path below a root nor an index.
    """
    store = _size_and_time(reader.store) if reader.store else _NO_FILE
    stats = (_size_and_time_below_root(reader, path) if index is None else store for path, index in places)
    rows = [(*place, *times) for place, times in zip(places, stats, strict=True)]
    return pd.DataFrame(rows, columns=KEY).astype(_KEY_DTYPES)


def cache_file(cache: Path, reader: ImageReader, version: str) -> Path:
    """The file for one data folder or store, and for one version of how the facts are found."""
    places = [os.path.realpath(place) if place else "" for place in (reader.root, reader.store)]
    digest = hashlib.sha256("\0".join([version, *places]).encode("utf-8", "surrogateescape"))
    return cache / "inspections" / f"{digest.hexdigest()[:16]}.parquet"


def read_facts(path: Path, dtypes: dict[str, str]) -> pd.DataFrame:
    """Columns of KEY and of `dtypes`, each key once; without rows where there is no such file, or a damaged one.

    Args:
        dtypes: pandas' types of the facts, by column.
    """
    dtypes = {**_KEY_DTYPES, **dtypes}
    try:
        known = pd.read_parquet(path, page_checksum_verification=True)
        return known[list(dtypes)].astype(dtypes).drop_duplicates(KEY)
    except Exception:  # whatever is wrong with the file, its facts can be found again
        return pd.DataFrame(columns=list(dtypes)).astype(dtypes)


def write_facts(known: pd.DataFrame, found: pd.DataFrame, path: Path) -> None:
    """Lay what was found over what is known of the same images, and write both, whole or not at all.

    Known facts of images that were not listed this time stay: the next listing may be of another part of the folder.
    What could not be read is left out, as its rights may be mended without a change of the file.
    """
    kept = found[(found["size"] >= 0) & found["sha256"].notna()]
    if kept.empty:
        return
    facts = pd.concat([known, kept]).drop_duplicates(["path", "index"], keep="last")
    with write_whole(path) as temporary:
        facts.to_parquet(temporary, index=False, write_page_checksum=True)


def _size_and_time_below_root(reader: ImageReader, path: str | None) -> tuple[int, int]:
    """Of the file that a link leads to; a link that leads out of the folder leads to none."""
    try:
        return _size_and_time(reader.locate(path))
    except OSError:
        return _NO_FILE


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
