"""What a source hands over: `describe(options)` a Description, `list_images(options, storage)` the FoundImages.

A source is one file in `sources/` with a class `Options` (its keys in the `dataset` section) and these two functions.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Description:
    """What is known without downloading or decoding.

    Attributes:
        class_names: in label order.
        image_size: height and width of the images, or of one of them where they differ; None where unknown.
        num_images: None where unknown.
    """

    class_names: tuple[str, ...]
    image_size: tuple[int, int] | None
    num_images: int | None


@dataclass(frozen=True)
class FoundImages:
    """Every image of a data set, none of them opened yet.

    Attributes:
        table: columns `source`, `path` or `index`, `label`, `class_name`, `split` (given split, or None).
        class_names, root, store, licence, citation, notes: as in `tasks.records.Listing`.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    root: Path | None = None
    store: Path | None = None
    licence: str | None = None
    citation: str | None = None
    notes: tuple[str, ...] = ()
