"""Ingest as a Prefect task."""

from prefect import task

from pipeline_config.experiment import Dataset
from pipeline_config.settings import Settings
from tasks.ingest.listing import list_dataset
from tasks.records import Listing


@task(name="ingest")
def ingest(dataset: Dataset) -> Listing:
    """List every image of the data set."""
    settings = Settings()
    return list_dataset(dataset, settings.data, settings.cache)
