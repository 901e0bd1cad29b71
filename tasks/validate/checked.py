"""What the checks of a data set come to, handed from one file of this stage to the next."""

from dataclasses import dataclass

import pandas as pd

from tasks.images import ImageReader
from tasks.validate.expectations import ExpectationResult

FINDING_COLUMNS = ("row", "check", "detail", "quarantined")
PAIR_COLUMNS = ("first", "second", "kind", "distance")


@dataclass(frozen=True)
class CheckedData:
    """A data set with all that was found in it.

    Attributes:
        table: the manifest, quarantined rows included, index 0..n-1.
        class_names: in label order.
        findings: one row for each thing that the checks of single images found. `row`: position in the table; `check`:
            name of the check in the section `validation`; `detail`: words, as `is WEBP, named .jpg`; `quarantined`:
            whether the image was quarantined for it.
        pairs: one row for each pair of duplicates that was found. `first`, `second`: positions in the table; `kind`:
            `exact` (equal pixels) or `near`; `distance`: differing bits of the perceptual hashes, 0..64.
        results: of every expectation, passed ones included.
        notes: sentences about what the source left out.
        reader: of the images' bytes.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    findings: pd.DataFrame
    pairs: pd.DataFrame
    results: tuple[ExpectationResult, ...]
    notes: tuple[str, ...]
    reader: ImageReader
    licence: str | None = None
    citation: str | None = None
