"""Validate and report as Prefect tasks."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.artifacts import create_markdown_artifact

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Validation
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks.files import write_whole
from tasks.images import ImageReader
from tasks.records import Checks, Listing, Manifest, ValidationReport
from tasks.spread import Spread
from tasks.validate.checked import CheckedData
from tasks.validate.checking import check_listing
from tasks.validate.dataset_checks import check_splits
from tasks.validate.expectations import ExpectationResult
from tasks.validate.report import write_report


@task(name="validate")
def validate_dataset(
    listing: Listing, bounds: Validation, image_size: tuple[int, int] | None, spread: Spread | None = None
) -> tuple[Manifest, Checks]:
    """Open every image once and hold the set against its expectations; the caller judges what comes out.

    Args:
        spread: opens the images of a large set; null: worker processes of this machine do.
    """
    cache = Settings().cache
    data = check_listing(listing, bounds, image_size, cache, spread)
    digest = manifests.digest(data.table)
    path = cache / "manifests" / f"{digest[:16]}.parquet"
    manifests.write(data.table, path)
    checks = _write_checks(data, cache / "checks" / f"{digest[:16]}-{_digest_of(bounds, image_size)}")
    size = image_size or (0, 0) if checks.failures else image_size or common_size(data.table)
    return Manifest(path, digest, "", listing.class_names, size, listing.root, listing.store), checks


@task(name="report")
def report_dataset(
    listing: Listing, manifest: Manifest, checks: Checks, bounds: Validation, split_problem: str | None
) -> ValidationReport:
    """The page about the data set, with its splits where they were made, and a short version as Prefect artifact.

    Args:
        split_problem: why the data could not be split, in a sentence, or None.
    """
    data = _read_checks(listing, manifest, checks)
    after = []
    if split_problem:
        after = [ExpectationResult("split", "critical", False, split_problem)]
    elif not checks.failures:
        after = check_splits(data.table, bounds)
    report = write_report(
        replace(data, results=(*data.results, *after)), Settings().cache / "reports" / checks.folder.name
    )
    create_markdown_artifact((report.folder / "validation_report.md").read_text(), key="validation-report")
    precision = [result.sentence for result in after if result.name == "test_precision"]
    return replace(report, precision="".join(precision))


def _write_checks(data: CheckedData, folder: Path) -> Checks:
    for name, table in (("findings", data.findings), ("pairs", data.pairs)):
        with write_whole(folder / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
    with write_whole(folder / "results.json") as temporary:
        temporary.write_text(json.dumps([asdict(result) for result in data.results]))
    failed = (result for result in data.results if not result.passed and result.severity == "critical")
    return Checks(folder, tuple(result.sentence for result in failed))


def _read_checks(listing: Listing, manifest: Manifest, checks: Checks) -> CheckedData:
    results = json.loads((checks.folder / "results.json").read_text())
    return CheckedData(
        table=manifests.read(manifest.path),
        class_names=listing.class_names,
        findings=pd.read_parquet(checks.folder / "findings.parquet"),
        pairs=pd.read_parquet(checks.folder / "pairs.parquet"),
        results=tuple(ExpectationResult(**result) for result in results),
        notes=listing.notes,
        reader=ImageReader(listing.root, listing.store),
        licence=listing.licence,
        citation=listing.citation,
    )


def _digest_of(bounds: Validation, image_size: tuple[int, int] | None) -> str:
    """Names the settings of the checks, so that two runs with unlike ones do not share a folder."""
    return hashlib.sha256(f"{bounds.model_dump_json()} {image_size}".encode()).hexdigest()[:8]


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
