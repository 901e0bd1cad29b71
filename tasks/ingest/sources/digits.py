"""The handwritten digits that come with scikit-learn: 1,797 images, 8×8 grey, real, no download."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline_config.section import Section
from tasks.image_store import write_store
from tasks.ingest.found import Description, FoundImages
from tasks.ingest.kept_store import keep, read_kept

CLASS_NAMES = tuple("0123456789")
_HIGHEST_GREY = 16
_CITATION = (
    "Alpaydin, E. & Kaynak, C. (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository."
)


class Options(Section):
    """There is nothing to choose."""


def describe(_options: Options) -> Description:
    """Ten classes of 8×8 images."""
    table = _table(_digits().target)
    return Description(CLASS_NAMES, (8, 8), len(table), FoundImages(table, CLASS_NAMES))


def list_images(_options: Options, storage: Path) -> FoundImages:
    """All digits, as PNG in a store that is written once."""
    store = storage / "digits" / "images.arrow"
    table = read_kept(store)
    if table is None:
        digits = _digits()
        table = _table(digits.target)
        write_store(store, (_png(grey) for grey in digits.images))
        keep(store, table)
    return FoundImages(table, CLASS_NAMES, store=store, licence="CC BY 4.0", citation=_CITATION)


def _digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits()


def _table(labels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": "digits",
            "index": range(len(labels)),
            "label": labels,
            "class_name": [CLASS_NAMES[label] for label in labels],
            "split": None,
        }
    )


def _png(grey: np.ndarray) -> bytes:
    """An image of grey levels 0..16 as PNG with grey levels 0..255."""
    levels = np.round(grey * (255 / _HIGHEST_GREY)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(levels).save(encoded, format="PNG")
    return encoded.getvalue()
