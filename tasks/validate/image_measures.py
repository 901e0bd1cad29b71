"""What the checks of single images found, as numbers about the set."""

from typing import NamedTuple

import pandas as pd

from pipeline_config.experiment import Validation
from tasks.validate.measures import Measure
from tasks.validate.wording import MAX_EXAMPLES, image_names, shorten


class _Words(NamedTuple):
    expected: str
    mend: str


def image_measures(table: pd.DataFrame, findings: pd.DataFrame, bounds: Validation) -> list[Measure]:
    """One measure for each check: how many images it found, or which share where a share is allowed.

    Args:
        table: the manifest, index 0..n-1.
        findings: as in `tasks.validate.checked.CheckedData`.
    """
    return [_measure(name, words, table, findings, bounds) for name, words in _words(bounds).items()]


def _measure(name: str, words: _Words, table: pd.DataFrame, findings: pd.DataFrame, bounds: Validation) -> Measure:
    found = findings[findings["check"] == name]
    count, total = found["row"].nunique(), len(table)
    allowed = bounds.max_low_resolution * total if name == "low_resolution" else 0
    told = f"{_tell(table, found)}" if count else f"so it is in all {total:,}"
    return Measure(
        name=name,
        severity=getattr(bounds, name),
        value=count,
        most=allowed,
        expected=words.expected,
        received=told if not count else f"not so in {count:,} of {total:,}: {told}",
        mend=words.mend,
    )


def _tell(table: pd.DataFrame, found: pd.DataFrame) -> str:
    """`cat/a.jpg is WEBP, named .jpg and 3 more`; the first by name."""
    rows = table.loc[found["row"]]
    named = found.assign(name=image_names(rows).to_numpy()).sort_values(["name", "detail"]).head(MAX_EXAMPLES)
    return shorten(
        [f"{name} ({detail})" for name, detail in zip(named["name"], named["detail"], strict=True)], len(found)
    )


def _words(bounds: Validation) -> dict[str, _Words]:
    quarantined = "They are quarantined"
    return {
        "unreadable": _Words(
            "Every image can be read and decoded in full", f"{quarantined}; fetch or export these files anew"
        ),
        "size": _Words(
            f"Every image has sides of {bounds.min_side:,} to {bounds.max_side:,} pixels "
            "(validation.min_side, max_side)",
            f"{quarantined}; resize them, or change the bounds",
        ),
        "aspect": _Words(
            f"No image is more than {bounds.max_aspect:g} times as long as it is wide, or the other way "
            "(validation.max_aspect)",
            f"{quarantined}; crop them, or change the bound",
        ),
        "one_colour": _Words(
            "No image is of one colour alone", f"{quarantined}; fetch them anew, or set validation.one_colour=off"
        ),
        "box": _Words(
            "Every box has a size, lies inside its image, and has sides of at least "
            f"{bounds.min_box_side:.0%} of the image's (validation.min_box_side)",
            f"{quarantined}; correct their annotation",
        ),
        "wrong_extension": _Words(
            "Every file is of the format that its name says", "They are used as what they are; rename them"
        ),
        "mode": _Words(
            "Every image is stored as grey or RGB of 8 bits", "They are converted; look at some in the report"
        ),
        "listed_size": _Words(
            "Every image has the size that the source states",
            "The image's own size is used; look whether boxes were drawn on another copy",
        ),
        "low_resolution": _Words(
            f"At most {bounds.max_low_resolution:.0%} of the images are smaller than the models' input and so enlarged "
            "(validation.max_low_resolution)",
            "Lower dataset.image_size, or raise the bound",
        ),
    }
