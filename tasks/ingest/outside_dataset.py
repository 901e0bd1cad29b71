"""Folders of images from outside the data set: with classes, under those of the data set, and without."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Dataset
from pipeline_config.sentences import did_you_mean
from tasks.ingest.listing import source_and_options
from tasks.ingest.wording import name_them


def outside_dataset(folder: str, dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """A section of the source `folder` that gives each class folder the name of its class in the data set.

    A class folder is named as the class is reported, or as the source names it, where `dataset.class_names` renames.
    Upper and lower case may differ where only one class can be meant.

    Args:
        folder: holds one folder a class; not every class needs one.
        dataset: the experiment's section.
        class_names: of the data set, as they are reported.

    Raises:
        ConfigurationError: a class folder that is no class of the data set.
        DataError: the folder is missing, may not be read, or holds no class folder with files.
    """
    known = {name: name for name in class_names}
    known |= {name: new for name, new in dataset.class_names.items() if new in class_names}
    found = {name: _class_of(name, known) for name in _class_folders(folder)}
    if unknown := [name for name, class_name in found.items() if class_name is None]:
        raise ConfigurationError(_complaint(folder, unknown, known))
    return Dataset.model_validate({"source": "folder", "path": folder, "class_names": found})


def _class_folders(folder: str) -> tuple[str, ...]:
    try:
        source, options = source_and_options(Dataset.model_validate({"source": "folder", "path": folder}))
        names: tuple[str, ...] = source.describe(options).class_names
    except DataError as error:  # the source knows its folder by the key of a data set
        raise DataError(str(error).replace("dataset.path", "evaluation.outside")) from None
    return names


def _class_of(name: str, known: Mapping[str, str]) -> str | None:
    """The class that a folder's name stands for; None where there is none, or more than one in other case."""
    if name in known:
        return known[name]
    meant = {class_name for spelled, class_name in known.items() if spelled.casefold() == name.casefold()}
    return meant.pop() if len(meant) == 1 else None


def _complaint(folder: str, unknown: Sequence[str], known: Mapping[str, str]) -> str:
    quoted = ", ".join(f"'{name}'" for name in unknown)
    return (
        f"evaluation.outside: expected one folder a class in {folder}, named as a class of the data set: "
        f"{name_them(sorted(known))}; received {quoted}{did_you_mean(unknown[0], list(known))}; "
        "rename the folder, or move it away"
    )


def unlabelled_folder(folder: str | None) -> Path | None:
    """The folder of images without classes; None where none is named.

    Raises:
        DataError: it is missing.
    """
    if folder is None:
        return None
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise DataError(f"evaluation.unlabelled: no folder {root}; put images there, or name another folder")
    return root
