"""The handwritten digits that come with scikit-learn: 1,797 images, 8×8 grey, real, no download."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline_config.experiment import Section
from tasks.image_store import write_store
from tasks.ingest.found import Description, FoundImages

CLASS_NAMES = tuple("0123456789")
_HIGHEST_GREY = 16
_CITATION = (
    "Alpaydin, E. & Kaynak, C. (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository."
)


class Options(Section):
    """There is nothing to choose."""


def describe(options: Options) -> Description:  # noqa: ARG001 - every source takes its options
    """Ten classes of 8×8 images."""
    return Description(CLASS_NAMES, image_size=(8, 8), num_images=1_797)


def list_images(options: Options, storage: Path) -> FoundImages:  # noqa: ARG001 - every source takes its options
    """All digits, as PNG in a store."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    store = storage / "digits" / "images.arrow"
    write_store(store, (_png(grey) for grey in digits.images))
    table = pd.DataFrame(
        {
            "source": "digits",
            "index": range(len(digits.target)),
            "label": digits.target,
            "class_name": [CLASS_NAMES[label] for label in digits.target],
            "split": None,
        }
    )
    return FoundImages(table, CLASS_NAMES, store=store, licence="CC BY 4.0", citation=_CITATION)


def _png(grey: np.ndarray) -> bytes:
    """An image of grey levels 0..16 as PNG with grey levels 0..255."""
    levels = np.round(grey * (255 / _HIGHEST_GREY)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(levels).save(encoded, format="PNG")
    return encoded.getvalue()
