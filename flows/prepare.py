"""Data set of the experiment -> validated manifest with splits, and the report on it."""

from dataclasses import dataclass

from prefect import flow

from flows.runners import spread_of
from pipeline_config.errors import DataError
from pipeline_config.experiment import Experiment
from tasks.ingest.task import ingest
from tasks.progress import say
from tasks.records import Listing, Manifest, ValidationReport
from tasks.split.task import split_dataset
from tasks.validate.task import report_dataset, validate_dataset


@dataclass(frozen=True)
class Prepared:
    """A data set, ready for training unless `report.failures` says otherwise."""

    listing: Listing
    manifest: Manifest
    report: ValidationReport


@flow(name="prepare", validate_parameters=False)
def prepare(experiment: Experiment) -> Prepared:
    """Ingest, validate, split, report. Data that fail validation come back unsplit, with the report."""
    listing = ingest(experiment.dataset)
    bounds = experiment.validation
    manifest, checks = validate_dataset(listing, bounds, experiment.dataset.image_size, spread_of(experiment.execution))
    problem = None
    if not checks.failures:
        try:
            manifest = split_dataset(manifest, experiment.split)
        except DataError as error:
            problem = str(error)
    return Prepared(listing, manifest, report_dataset(listing, manifest, checks, bounds, problem))


def say_warnings(report: ValidationReport) -> None:
    """What was found, and how finely the test images will tell models apart, before training starts."""
    for warning in report.warnings:
        say(f"warning: {warning}")
    if report.precision and report.precision not in report.warnings:
        say(report.precision)


def refuse_bad_data(prepared: Prepared) -> None:
    """Stop before any training.

    Raises:
        DataError: an expectation failed at severity critical; names each and where the report is.
    """
    if prepared.report.failures:
        found = "; ".join(failure.rstrip(".") for failure in prepared.report.failures)
        raise DataError(f"the data failed validation: {found}; see {prepared.report.folder / 'validation_report.html'}")
