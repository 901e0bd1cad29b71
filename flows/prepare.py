"""Data set of the experiment -> validated manifest with splits."""

from dataclasses import dataclass

from prefect import flow

from pipeline_config.errors import DataError
from pipeline_config.experiment import Experiment
from tasks.ingest.task import ingest
from tasks.records import Listing, Manifest, ValidationReport
from tasks.split.task import split_dataset
from tasks.validate.task import validate_dataset


@dataclass(frozen=True)
class Prepared:
    """A data set, ready for training unless `report.failures` says otherwise."""

    listing: Listing
    manifest: Manifest
    report: ValidationReport


@flow(name="prepare", validate_parameters=False)
def prepare(experiment: Experiment) -> Prepared:
    """Ingest, validate, split. Data that fail validation come back unsplit, with the report."""
    listing = ingest(experiment.dataset)
    manifest, report = validate_dataset(listing, experiment.validation, experiment.dataset.image_size)
    if not report.failures:
        manifest = split_dataset(manifest, experiment.split)
    return Prepared(listing, manifest, report)


def refuse_bad_data(prepared: Prepared) -> None:
    """Stop before any training.

    Raises:
        DataError: an expectation failed at severity critical; names each and where the report is.
    """
    if prepared.report.failures:
        found = "; ".join(prepared.report.failures)
        raise DataError(f"the data failed validation: {found}; see {prepared.report.folder / 'validation_report.md'}")
