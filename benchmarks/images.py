"""Images to measure with."""

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.input_pipeline import ImageSet

CLASSES = 10


def random_images(count: int, side: int, folder: Path, *, validation: bool = False) -> ImageSet:
    """Pixels that tell nothing, in a file as the pipeline keeps them; every fifth image to validate with, or none."""
    path = folder / f"{side}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8))
    number = np.arange(count)
    splits = np.where((number % 5 == 0) & validation, "validation", "train")
    rows = pd.DataFrame({"image_id": number.astype(str), "label": number % CLASSES, "split": splits})
    return ImageSet(rows, path)
