"""Which classes and images of a source are used, and under which names, as the `dataset` section says.

In this order: classes are renamed and merged, small ones left out, then all beyond the first so many by name, and of
each that is left the first so many images are kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Dataset
from pipeline_config.sentences import did_you_mean
from tasks.ingest.found import FoundImages
from tasks.ingest.wording import name_them


def take_subset(found: FoundImages, dataset: Dataset) -> FoundImages:
    """The images that the section asks for, labels 0..n-1 in the source's order; what is left out is in the notes.

    Raises:
        ConfigurationError: a class to be renamed that the source does not have.
        DataError: two class names differ only in case, or nothing is left.
    """
    new_names = rename_classes(found.class_names, dataset.class_names)
    table = found.table.assign(class_name=found.table["class_name"].map(new_names))
    names, notes = _choose_classes(new_names.values(), table["class_name"].value_counts(), dataset)
    table = table[table["class_name"].isin(names)]
    if dataset.images_per_class is not None:
        table, note = _first_images(table, dataset.images_per_class)
        notes += note
    labels = table["class_name"].map({name: label for label, name in enumerate(names)}).astype("int64")
    return replace(
        found,
        table=table.assign(label=labels).reset_index(drop=True),
        class_names=tuple(names),
        notes=(*found.notes, *notes),
    )


def rename_classes(class_names: Sequence[str], new_names: Mapping[str, str]) -> dict[str, str]:
    """New name of every class, in the source's order.

    Raises:
        ConfigurationError: a class to be renamed that the source does not have.
        DataError: two of the new names differ only in case, which is hardly meant.
    """
    for name in new_names:
        if name not in class_names:
            raise ConfigurationError(
                f"dataset.class_names: expected names of the source's classes, which are {name_them(class_names)}; "
                f"received '{name}'{did_you_mean(name, list(class_names))}"
            )
    renamed = {name: new_names.get(name, name) for name in class_names}
    _refuse_names_that_differ_in_case(renamed.values())
    return renamed


def _refuse_names_that_differ_in_case(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"dataset.class_names: the classes '{other}' and '{name}' differ only in case; rename one of them at "
                f"its source, or map both to one name, as class_names: {{{other}: {name}}}"
            )


def _choose_classes(names: Iterable[str], counts: pd.Series, dataset: Dataset) -> tuple[list[str], list[str]]:
    """The classes that stay, in the source's order, and notes on the others."""
    kept = list(dict.fromkeys(names))
    notes = []
    if least := dataset.min_images_per_class:
        small = {name: int(counts.get(name, 0)) for name in kept if counts.get(name, 0) < least}
        kept = [name for name in kept if name not in small]
        if not kept:
            raise DataError(
                f"dataset.min_images_per_class: expected classes of {least:,} images or more; the largest class has "
                f"{max(small.values()):,}; give a lower number, or add images"
            )
        if small:
            named = name_them(f"{name} ({count:,})" for name, count in sorted(small.items()))
            notes.append(f"left out, fewer than {least:,} images: {named}")
    first = first_classes(kept, dataset.max_classes)
    if beyond := sorted(set(kept) - set(first)):
        notes.append(f"left out beyond the first {len(first):,} classes: {name_them(beyond)}")
    return first, notes


def first_classes(names: Iterable[str], most: int | None) -> list[str]:
    """The first so many by name, in the order in which they came; all where there is no number."""
    names = list(names)
    first = set(sorted(names)[:most])
    return [name for name in names if name in first]


def _first_images(table: pd.DataFrame, most: int) -> tuple[pd.DataFrame, list[str]]:
    """The first images of each class by path, or index; a given test split stays whole and is not counted."""
    place = "path" if "path" in table else "index"
    counted = table[table["split"] != "test"].sort_values(place)
    beyond = counted.index[counted.groupby("class_name").cumcount() >= most]
    if beyond.empty:
        return table, []
    left_out = f"{len(beyond):,} image{'s' if len(beyond) > 1 else ''} left out"
    return table.drop(beyond), [f"kept the first {most:,} images of each class: {left_out}"]
