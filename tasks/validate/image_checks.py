"""Judges each image by itself: facts -> the manifest, and what was found in which image.

A check that quarantines sets the manifest's status; a check that only names leaves the image in use. Each takes the
readable images and gives one sentence for each image that it finds.
"""

from collections.abc import Callable

import pandas as pd
from PIL import Image

from pipeline_config.experiment import Validation
from tasks.manifest import BOX_COLUMNS, conform
from tasks.validate.boxes import box_fractions, box_problems, clip_to_image
from tasks.validate.checked import FINDING_COLUMNS

# What tasks/images.py makes of them.
_CONVERSIONS = {
    "1": "black and white become the grey levels 0 and 255",
    "LA": "transparent parts are laid on white",
    "PA": "transparent parts are laid on white",
    "RGBA": "transparent parts are laid on white",
    "P": "the colours of its palette are looked up",
    "CMYK": "inks become RGB without a colour profile",
    "I;16": "16 bits are scaled to 8",
    "I;16B": "16 bits are scaled to 8",
    "I;16L": "16 bits are scaled to 8",
    "I": "levels above 255 are cut off, in PPM scaled",
    "F": "levels above 255 are cut off",
}
# Two names for what other programs take for one format. A JPEG with a preview or a second view in it is an MPO.
_SAME_FORMAT = {"MPO": "JPEG", "DIB": "BMP"}


def check_images(
    listed: pd.DataFrame, facts: pd.DataFrame, bounds: Validation, image_size: tuple[int, int] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest, and what the checks of single images found.

    Args:
        listed: the listing; may hold boxes (see `box_fractions`) and `listed_width`, `listed_height`, pixels as the
            source states them.
        facts: of `inspect_images`, row for row.
        image_size: height and width given to the models, or None.

    Returns:
        The manifest, in the listing's order. `status` is the reason of the first check that quarantines; `group` is the
        image's own id; boxes are fractions of the upright image, clipped to it where they are a pixel off.
        The findings, by row: `FINDING_COLUMNS` of `tasks/validate/checked.py`. A quarantined image has one for each
        check that quarantines it, and none of the others.
    """
    images = _describe(listed, facts, bounds)
    reasons = {"unreadable": images["error"].dropna()} | _quarantining(images[images["error"].isna()], bounds)
    status = pd.Series("ok", index=images.index, dtype="str")
    for found in reversed(reasons.values()):  # so that of several reasons the first stays
        status.loc[found.index] = found
    named = _naming(images[status == "ok"], bounds, image_size)
    findings = [_as_findings(check, found, quarantined=True) for check, found in reasons.items()]
    findings += [_as_findings(check, found, quarantined=False) for check, found in named.items()]
    ordered = pd.concat(findings).sort_values("row", kind="stable", ignore_index=True)
    return conform(images.assign(status=status, group=images["image_id"])), ordered


def _describe(listed: pd.DataFrame, facts: pd.DataFrame, bounds: Validation) -> pd.DataFrame:
    """What is listed and what was found in one table, boxes as fractions, index 0..n-1."""
    facts = facts.reset_index(drop=True)
    images = listed.reset_index(drop=True).assign(**facts)
    boxes = box_fractions(images, images["width"], images["height"])
    if bounds.box != "off":
        boxes = clip_to_image(boxes, images["width"], images["height"])
    return images.assign(**boxes)


def _quarantining(images: pd.DataFrame, bounds: Validation) -> dict[str, pd.Series]:
    checks: dict[str, Callable[[], pd.Series]] = {
        "size": lambda: _find_size(images, bounds),
        "aspect": lambda: _find_aspect(images, bounds),
        "one_colour": lambda: _find_one_colour(images),
        "box": lambda: box_problems(images[list(BOX_COLUMNS)], images["width"], images["height"], bounds.min_box_side),
    }
    return _make(checks, bounds)


def _naming(images: pd.DataFrame, bounds: Validation, image_size: tuple[int, int] | None) -> dict[str, pd.Series]:
    checks: dict[str, Callable[[], pd.Series]] = {
        "wrong_extension": lambda: _find_wrong_extension(images),
        "mode": lambda: _find_mode(images),
        "listed_size": lambda: _find_listed_size(images),
        "low_resolution": lambda: _find_low_resolution(images, image_size or (0, 0)),
    }
    return _make(checks, bounds)


def _make(checks: dict[str, Callable[[], pd.Series]], bounds: Validation) -> dict[str, pd.Series]:
    """What the checks find that are not off."""
    return {name: check() for name, check in checks.items() if getattr(bounds, name) != "off"}


def _as_findings(check: str, found: pd.Series, quarantined: bool) -> pd.DataFrame:
    rows = {"row": found.index.astype("int64"), "check": check, "detail": found.to_numpy(), "quarantined": quarantined}
    dtypes = {"row": "int64", "check": "str", "detail": "str", "quarantined": "bool"}
    return pd.DataFrame(rows, columns=list(FINDING_COLUMNS)).astype(dtypes)


def _find_size(images: pd.DataFrame, bounds: Validation) -> pd.Series:
    sides = images[["width", "height"]]
    is_small = sides.min(axis="columns") < bounds.min_side
    is_large = (sides.max(axis="columns") > bounds.max_side) & ~is_small
    small, large = images[is_small], images[is_large]
    return pd.concat(
        [
            "too small: " + _size(small) + f" pixels, expected at least {bounds.min_side} a side",
            "too large: " + _size(large) + f" pixels, expected at most {bounds.max_side} a side",
        ]
    )


def _find_aspect(images: pd.DataFrame, bounds: Validation) -> pd.Series:
    sides = images[["width", "height"]]
    long = images[sides.max(axis="columns") > bounds.max_aspect * sides.min(axis="columns")]
    expected = f"expected one side at most {bounds.max_aspect:g} times the other"
    return "too long and narrow: " + _size(long) + f" pixels, {expected}"


def _find_one_colour(images: pd.DataFrame) -> pd.Series:
    plain = images[images["one_colour"]]
    return "one colour: all pixels alike, mean grey level " + plain["brightness"].round().astype("int64").astype("str")


def _find_wrong_extension(images: pd.DataFrame) -> pd.Series:
    """Names that say another format; a name whose ending Pillow does not know, as `photo.copy`, says none."""
    paths = images.reindex(columns=["path"])["path"].astype("str")
    extensions = paths.str.extract(r"[^/](\.[^./]+)$", expand=False).str.lower()
    promised = extensions.map(Image.registered_extensions()).replace(_SAME_FORMAT)
    real = images["format"].replace(_SAME_FORMAT)
    wrong = (promised != real) & promised.notna() & real.notna()
    return "is " + images["format"][wrong] + ", named " + extensions[wrong]


def _find_mode(images: pd.DataFrame) -> pd.Series:
    modes = images.loc[~images["mode"].isin(["L", "RGB"]), "mode"]
    return "is " + modes + ": " + modes.map(_CONVERSIONS).fillna("it is converted to RGB")


def _find_listed_size(images: pd.DataFrame) -> pd.Series:
    sizes = images.reindex(columns=["listed_width", "listed_height"]).astype("Int64").dropna()
    images = images.loc[sizes.index]
    other = (sizes["listed_width"] != images["width"]) | (sizes["listed_height"] != images["height"])
    listed = _size(sizes[other].set_axis(["width", "height"], axis="columns"))
    return "is " + _size(images[other]) + " pixels, listed as " + listed


def _find_low_resolution(images: pd.DataFrame, image_size: tuple[int, int]) -> pd.Series:
    height, width = image_size
    low = images[(images["width"] < width) | (images["height"] < height)]
    return "is " + _size(low) + f" pixels, fewer than the models' {width} × {height}"


def _size(images: pd.DataFrame) -> pd.Series:
    """`640 × 480`: width and height, as people give them."""
    return images["width"].astype("str") + " × " + images["height"].astype("str")
