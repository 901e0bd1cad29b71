"""What a source hands over: `describe(options)` a Description, `list_images(options, storage)` the FoundImages.

A source is one file in `sources/` with a class `Options` (its keys in the `dataset` section) and these two functions.

The listing table has one row an image:

    source      str   the data set, as `digits` or `tfds:cifar10:3.0.2`
    path        str   file, relative to `root`; or
    index       int   position in `store`
    label       int   0..number of classes-1
    class_name  str   `class_names[label]`
    split       str   train, validation or test as the data set gives it, or None

and, where the source knows a box (null for an image without one), the four columns of one of two forms:

    box_x, box_y, box_width, box_height          float  fractions of the image, top-left corner first
    box_left, box_top, box_right, box_bottom     float  pixels from 0, right and bottom exclusive

and, where the source states it, the image's size in pixels, null where it does not:

    listed_width, listed_height                  Int64

Nobody has opened the images yet: whether a box lies inside its image, has a size at all, or the stated size is the real
one is seen when they are opened. A box is handed over as it was found, and never mended.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

FRACTIONS = ("box_x", "box_y", "box_width", "box_height")
CORNERS = ("box_left", "box_top", "box_right", "box_bottom")


@dataclass(frozen=True)
class FoundImages:
    """Every image of a data set, none of them opened yet.

    Attributes:
        table: the listing, with the columns above.
        class_names, root, store, licence, citation, notes: as in `tasks.records.Listing`.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    root: Path | None = None
    store: Path | None = None
    licence: str | None = None
    citation: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """What is known without downloading or decoding.

    Attributes:
        class_names: in label order.
        image_size: height and width of the images, or of one of them where they differ; None where unknown.
        num_images: None where unknown.
        found: the listing itself where it costs little; its images need not be in any store yet.
    """

    class_names: tuple[str, ...]
    image_size: tuple[int, int] | None
    num_images: int | None
    found: FoundImages | None = field(default=None, compare=False, repr=False)
