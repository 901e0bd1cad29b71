"""Listing -> checked data: the order in which the files of this stage work."""

from pathlib import Path

import pandas as pd

from pipeline_config.experiment import Validation
from tasks.images import ImageReader, Pixels, decode
from tasks.records import Listing
from tasks.spread import Spread
from tasks.validate.checked import CheckedData
from tasks.validate.dataset_checks import check_dataset
from tasks.validate.duplicates import exact_pairs, quarantine_duplicates
from tasks.validate.groups import assign_groups
from tasks.validate.image_checks import check_images
from tasks.validate.inspection import inspect_images
from tasks.validate.leakage import drop_leaking, leaking_rows
from tasks.validate.near_duplicates import find_near_duplicates


def check_listing(
    listing: Listing,
    bounds: Validation,
    image_size: tuple[int, int] | None,
    cache: Path,
    spread: Spread | None = None,
) -> CheckedData:
    """Open every image once, quarantine what cannot be used, find duplicates and leaks, hold all against the bounds.

    Args:
        image_size: height and width given to the models, or None where they are the images' own.
        cache: where what was found in unchanged files is kept.
        spread: opens the images of a large set; null: worker processes of this machine do.
    """
    reader = ImageReader(listing.root, listing.store)
    facts = inspect_images(listing, cache, spread)
    table, findings = check_images(pd.read_parquet(listing.path), facts, bounds, image_size)
    exact = exact_pairs(table)
    table = quarantine_duplicates(table, bounds)
    pairs = pd.concat([exact, _near_pairs(table, reader, bounds)], ignore_index=True)
    table = assign_groups(table, pairs)
    leaks = leaking_rows(table, pairs)
    if bounds.drop_leaking:
        table = drop_leaking(table, leaks)
    results = check_dataset(table, listing.class_names, findings, pairs, leaks, bounds)
    return CheckedData(
        table=table,
        class_names=listing.class_names,
        findings=findings,
        pairs=pairs,
        results=tuple(results),
        notes=listing.notes,
        reader=reader,
        licence=listing.licence,
        citation=listing.citation,
    )


def _near_pairs(table: pd.DataFrame, reader: ImageReader, bounds: Validation) -> pd.DataFrame:
    """Pairs of nearly equal images; none where nobody wants to know."""
    places = table[["path", "index"]].astype(object)
    paths, indices = (list(column.where(column.notna(), None)) for _, column in places.items())

    def read(position: int) -> Pixels:
        return decode(reader.read(paths[position], indices[position])).pixels

    return find_near_duplicates(table if bounds.near_duplicates != "off" else table.iloc[:0], read)
