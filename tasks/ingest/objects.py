"""Images with several objects, of which one gives the image its class and box."""

from typing import Literal, NamedTuple

import pandas as pd

from tasks.ingest.wording import name_them

Policy = Literal["largest", "skip"]
"""What becomes of an image with several objects: it takes the largest one's class and box, or is left out."""


class ChosenObjects(NamedTuple):
    """One object an image, and sentences about the images that are left out."""

    table: pd.DataFrame
    notes: tuple[str, ...]


def choose_objects(objects: pd.DataFrame, policy: Policy) -> ChosenObjects:
    """One row for each image that has an object, in the images' order.

    Args:
        objects: one row an object, images in order; a single row with null `class_name` for an image without any.
            Columns `image` (its name), `class_name`, `area` (of the box, in any unit) and any others.
        policy: of several objects of one size the first is taken.
    """
    without = objects["class_name"].isna()
    several = objects["image"].duplicated(keep=False)
    notes = []
    if policy == "skip":
        notes.append(_note("several objects", objects["image"][several]))
        kept = objects[~without & ~several]
    else:
        largest_first = objects[~without].sort_values("area", ascending=False, kind="stable")
        kept = largest_first.drop_duplicates("image").sort_index()
    notes.append(_note("no object of a known class", objects["image"][without]))
    return ChosenObjects(kept.drop(columns="area").reset_index(drop=True), tuple(filter(None, notes)))


def _note(reason: str, images: pd.Series) -> str:
    names = images.drop_duplicates()
    return f"left out, {reason}: {name_them(names)}" if len(names) else ""
