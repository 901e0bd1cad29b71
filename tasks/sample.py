"""A few test images as a model was given them, kept with its evaluation: whoever loads the model later can prove it.

The data may be gone by then, or decoded anew by other libraries; what the model answered is in its predictions table.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.files import write_whole
from tasks.input_pipeline import ImageSet

FILE = "sample.npz"
SIZE = 16


@dataclass(frozen=True)
class Sample:
    """Some test images.

    Attributes:
        image_ids: as in the predictions table.
        pixels: `(n, height, width, 3)` uint8, raw.
    """

    image_ids: tuple[str, ...]
    pixels: npt.NDArray[np.uint8]


def write_sample(images: ImageSet, path: Path) -> None:
    """Write `SIZE` test images, or all where there are fewer, spread evenly over the test rows."""
    positions = images.positions("test")
    chosen = positions[np.linspace(0, len(positions) - 1, min(SIZE, len(positions))).round().astype(np.int64)]
    ids = images.rows["image_id"].iloc[chosen].to_numpy(dtype=np.str_)
    with write_whole(path) as temporary:
        np.savez_compressed(temporary, image_ids=ids, pixels=images.read(chosen))


def read_sample(path: Path) -> Sample:
    """What `write_sample` wrote; nothing in the file can run code."""
    with np.load(path, allow_pickle=False) as file:
        return Sample(tuple(map(str, file["image_ids"])), file["pixels"])
