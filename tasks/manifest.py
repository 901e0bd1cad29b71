"""The manifest: a data set as a table, one row an image. Every stage reads it, three write it.

Columns, in order (`box_…` are fractions of the image, top-left corner first; null where there is no box):

    image_id    str    sha256 of the decoded RGB pixels and their shape; of the file's bytes where undecodable
    source      str    the data source, as `digits` or `tfds:cifar10:3.0.2`
    path        str    file, relative to the data set's folder; null when the image is in a store
    index       Int64  position in the store; null when the image is a file
    label       int64  0..number of classes-1, or -1 where the class is not known
    class_name  str
    width, height      Int64, pixels after turning upright; null where undecodable
    mode        str    Pillow's mode of the stored image, as RGB or L
    format      str    Pillow's name of the file's real format, as JPEG; null where undecodable
    brightness  float64  mean grey level, 0..255; null where undecodable
    bytes       int64  of the stored file
    sha256      str    of the stored file's bytes
    phash       str    64-bit perceptual hash, 16 hex digits
    group       str    equal for duplicates and near-duplicates, which a split must not part: the least of their ids
    box_x, box_y, box_width, box_height    float64
    split       str    train, validation, test; null before splitting, and where quarantined
    fold        Int64  0..k-1: the cross-validation fold in which a training or validation image is held out; or null
    status      str    ok, or the reason why the image is quarantined
"""

import hashlib
from pathlib import Path

import pandas as pd

from tasks.files import write_whole

BOX_COLUMNS = ("box_x", "box_y", "box_width", "box_height")
DTYPES = {
    "image_id": "str",
    "source": "str",
    "path": "str",
    "index": "Int64",
    "label": "int64",
    "class_name": "str",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "format": "str",
    "brightness": "float64",
    "bytes": "int64",
    "sha256": "str",
    "phash": "str",
    "group": "str",
    **dict.fromkeys(BOX_COLUMNS, "float64"),
    "split": "str",
    "fold": "Int64",
    "status": "str",
}
COLUMNS = tuple(DTYPES)
SPLITS = ("train", "validation", "test")
_IDENTITY = ["image_id", "label", "class_name", *BOX_COLUMNS, "split", "fold", "usable"]


def conform(table: pd.DataFrame) -> pd.DataFrame:
    """The table with exactly the manifest's columns, order and dtypes; absent columns are null."""
    return table.reindex(columns=list(COLUMNS)).astype(DTYPES).reset_index(drop=True)


def usable(table: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Rows that are not quarantined, of one split or of all, in the manifest's order."""
    chosen = table["status"] == "ok"
    if split is not None:
        chosen &= table["split"] == split
    return table[chosen]


def digest(table: pd.DataFrame) -> str:
    """Digest of what the data set is: 64 hex digits, independent of row order and of where the files lie.

    Of the status only whether it is ok counts: the words of a reason may change with a library's version.
    """
    rows = table.assign(usable=table["status"] == "ok")[_IDENTITY].sort_values(_IDENTITY, na_position="first")
    text = rows.to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all."""
    with write_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


def read(path: Path) -> pd.DataFrame:
    """The table with the manifest's dtypes."""
    return conform(pd.read_parquet(path))
