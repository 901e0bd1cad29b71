"""Dataset section of the experiment -> listing on disk."""

import hashlib
from dataclasses import replace
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
from tasks.ingest.subset import first_classes, rename_classes, take_subset
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
    """What is known of the part of the data set that is used, without downloading or decoding.

    Where the listing is not at hand, nobody knows how many images a class has: classes that are too small are then
    still among the names, and the number of images is unknown once a part of them is left out.
    """
    source, options = source_and_options(dataset)
    description: Description = source.describe(options)
    if description.found is not None:
        found = take_subset(description.found, dataset)
        return replace(description, class_names=found.class_names, num_images=len(found.table), found=found)
    renamed = dict.fromkeys(rename_classes(description.class_names, dataset.class_names).values())
    names = tuple(first_classes(renamed, None if dataset.min_images_per_class else dataset.max_classes))
    narrowed = dataset.min_images_per_class or dataset.max_classes or dataset.images_per_class
    return replace(description, class_names=names, num_images=None if narrowed else description.num_images)


def list_dataset(dataset: Dataset, storage: Path, cache: Path) -> Listing:
    """List the images that the section asks for and write the listing below `cache`, named by its content.

    Args:
        dataset: the experiment's section.
        storage: where a source may keep downloaded or unpacked data.
        cache: where what can be made again is kept.
    """
    source, options = source_and_options(dataset)
    found: FoundImages = take_subset(source.list_images(options, storage), dataset)
    content = hashlib.sha256(found.table.to_csv(index=False).encode("utf-8", "surrogateescape")).hexdigest()
    path = cache / "listings" / f"{content[:16]}.parquet"
    with write_whole(path) as temporary:
        found.table.to_parquet(temporary, index=False)
    return Listing(path, found.class_names, found.root, found.store, found.licence, found.citation, found.notes)
