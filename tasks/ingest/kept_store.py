"""A store with its listing beside it, which proves that the store is there, whole and the right one."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.files import write_whole

_STORE_BYTES = b"store_bytes"


def read_kept(store: Path) -> pd.DataFrame | None:
    """The listing beside the store; None where either is missing, or the store is not the one it was written for."""
    try:
        listing = pq.read_table(_beside(store))
        size = int((listing.schema.metadata or {})[_STORE_BYTES])
        whole = size == store.stat().st_size
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    table: pd.DataFrame = listing.to_pandas()
    return table if whole else None


def keep(store: Path, table: pd.DataFrame) -> None:
    """Write the listing of a store that was written whole: it comes last, so where it is, all is there."""
    listing = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(listing.schema.metadata or {}), _STORE_BYTES: str(store.stat().st_size).encode()}
    with write_whole(_beside(store)) as temporary:
        pq.write_table(listing.replace_schema_metadata(metadata), temporary)


def _beside(store: Path) -> Path:
    return store.with_suffix(".parquet")
