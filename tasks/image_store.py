"""Encoded images of a source without files, in one Arrow file that is memory-mapped for reading."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa

from tasks.files import write_whole

_SCHEMA = pa.schema([("image", pa.binary())])
_IMAGES_PER_BATCH = 1_000


def write_store(path: Path, images: Iterable[bytes]) -> None:
    """Write encoded images in order, whole or not at all; memory holds one batch."""
    with (
        write_whole(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, _SCHEMA) as file,
    ):
        remaining = iter(images)
        while batch := list(islice(remaining, _IMAGES_PER_BATCH)):
            file.write_batch(pa.record_batch([pa.array(batch, pa.binary())], schema=_SCHEMA))
