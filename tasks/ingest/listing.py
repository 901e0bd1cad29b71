"""Dataset section of the experiment -> listing on disk."""

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Dataset
from pipeline_config.sentences import describe_problems
from tasks import plugins
from tasks.files import write_whole
from tasks.ingest import sources
from tasks.ingest.found import Description, FoundImages
from tasks.records import Listing


def source_names() -> list[str]:
    """Every source that can be named in `dataset.source`."""
    return plugins.names(sources)


def source_and_options(dataset: Dataset) -> tuple[ModuleType, Any]:
    """The source's module and its checked options.

    Raises:
        ConfigurationError: no such source, or an option that it does not know or cannot take.
    """
    source = plugins.find(sources, dataset.source, "dataset.source")
    try:
        return source, source.Options.model_validate(dataset.options)
    except ValidationError as error:
        raise ConfigurationError(
            describe_problems(error, source.Options, below="dataset", also_allowed=list(Dataset.model_fields))
        ) from None


def describe_dataset(dataset: Dataset) -> Description:
    """What is known of the data set without downloading or decoding."""
    source, options = source_and_options(dataset)
    description: Description = source.describe(options)
    return description


def list_dataset(dataset: Dataset, storage: Path, cache: Path) -> Listing:
    """List every image and write the listing below `cache`, named by its content.

    Args:
        dataset: the experiment's section.
        storage: where a source may keep downloaded or unpacked data.
        cache: where what can be made again is kept.
    """
    source, options = source_and_options(dataset)
    found: FoundImages = source.list_images(options, storage)
    content = hashlib.sha256(found.table.to_csv(index=False).encode("utf-8", "surrogateescape")).hexdigest()
    path = cache / "listings" / f"{content[:16]}.parquet"
    with write_whole(path) as temporary:
        found.table.to_parquet(temporary, index=False)
    return Listing(path, found.class_names, found.root, found.store, found.licence, found.citation, found.notes)
