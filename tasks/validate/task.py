"""Validate as a Prefect task."""

import pandas as pd
from prefect import task

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Validation
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks.records import Listing, Manifest, ValidationReport
from tasks.validate.duplicates import quarantine_duplicates
from tasks.validate.expectations import check_expectations
from tasks.validate.file_checks import inspect_images
from tasks.validate.report import write_report


@task(name="validate")
def validate_dataset(
    listing: Listing, bounds: Validation, image_size: tuple[int, int] | None
) -> tuple[Manifest, ValidationReport]:
    """Open every image once, hold the set against its expectations, write the report; the caller judges it."""
    cache = Settings().cache
    table = quarantine_duplicates(inspect_images(listing, bounds))
    digest = manifests.digest(table)
    path = cache / "manifests" / f"{digest[:16]}.parquet"
    manifests.write(table, path)
    results = check_expectations(table, listing.class_names, bounds)
    report = write_report(table, listing.class_names, results, listing.notes, cache / "reports" / digest[:16])
    size = image_size or (0, 0) if report.failures else image_size or common_size(table)
    return Manifest(path, digest, "", listing.class_names, size, listing.root, listing.store), report


def common_size(table: pd.DataFrame) -> tuple[int, int]:
    """Height and width of the usable images.

    Raises:
        ConfigurationError: they differ, so that a size must be chosen.
    """
    sizes = manifests.usable(table)[["height", "width"]].drop_duplicates()
    if len(sizes) == 1:
        return int(sizes["height"].iloc[0]), int(sizes["width"].iloc[0])
    low, high = sizes.min(), sizes.max()
    raise ConfigurationError(
        f"dataset.image_size: the images differ in size, from {low['height']}×{low['width']} to "
        f"{high['height']}×{high['width']}; expected the size to train at, as --set dataset.image_size=128"
    )
