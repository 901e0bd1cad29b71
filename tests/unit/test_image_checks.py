"""Facts -> manifest and findings: which images are quarantined, which are only named, in which words."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline_config.experiment import Validation
from tasks.manifest import BOX_COLUMNS, COLUMNS, conform
from tasks.validate.boxes import CORNER_COLUMNS
from tasks.validate.checked import FINDING_COLUMNS
from tasks.validate.image_checks import check_images
from tasks.validate.inspection import FACTS, inspect_images

BOUNDS = Validation()
SOUND = {
    **{"bytes": 900, "width": 100, "height": 80, "mode": "RGB", "format": "JPEG"},
    **{"brightness": 99.0, "one_colour": False, "phash": "0" * 16, "error": None},
}


def facts_of(*images: dict) -> pd.DataFrame:
    """Facts of sound images, but for what is given."""
    ids = [f"{number:064x}" for number in range(len(images))]
    rows = [{**SOUND, "image_id": name, "sha256": name, **image} for name, image in zip(ids, images, strict=True)]
    return pd.DataFrame(rows, columns=list(FACTS)).astype(FACTS)


def listing_of(count: int, **columns: object) -> pd.DataFrame:
    paths = [f"cat/{number}.jpg" for number in range(count)]
    table = pd.DataFrame({"source": "folder", "path": paths, "label": 0, "class_name": "cat", "split": None})
    return table.assign(**columns)


def check(*images: dict, bounds: Validation = BOUNDS, image_size=None, **listed) -> tuple[pd.DataFrame, pd.DataFrame]:
    return check_images(listing_of(len(images), **listed), facts_of(*images), bounds, image_size)


def check_one(bounds: Validation = BOUNDS, image_size=None, **values) -> tuple[str, dict[str, str]]:
    """Of one image the status, and the details of its findings by check; values are facts or columns of the listing."""
    facts = {name: value for name, value in values.items() if name in FACTS}
    listed = {name: [value] for name, value in values.items() if name not in FACTS}
    table, findings = check(facts, bounds=bounds, image_size=image_size, **listed)
    return table["status"][0], dict(zip(findings["check"], findings["detail"], strict=True))


# The manifest


def test_sound_images_become_a_manifest_in_the_listings_order():
    table, findings = check({}, {}, {}, label=[1, 0, 0], split=["test", None, "train"])
    assert tuple(table.columns) == COLUMNS
    assert list(table.index) == [0, 1, 2]
    assert set(table["status"]) == {"ok"}
    assert list(table["label"]) == [1, 0, 0]
    assert list(table["split"].fillna("none")) == ["test", "none", "train"]
    assert list(table["group"]) == list(table["image_id"])
    assert (table["format"][0], table["brightness"][0]) == ("JPEG", 99.0)
    assert tuple(findings.columns) == FINDING_COLUMNS
    assert findings.empty


def test_an_empty_listing_gives_an_empty_manifest():
    table, findings = check()
    pd.testing.assert_frame_equal(table, conform(table))
    assert table.empty
    assert findings.empty


def test_images_of_a_store_have_no_names_to_be_wrong():
    listed = listing_of(2, index=[5, 3]).drop(columns="path")
    table, findings = check_images(listed, facts_of({"format": "PNG"}, {}), BOUNDS, None)
    assert list(table["index"]) == [5, 3]
    assert findings.empty


def test_the_listings_own_index_does_not_matter():
    listed = listing_of(3).set_axis([7, 7, 1])
    table, _ = check_images(listed, facts_of({}, {"width": 1}, {}), BOUNDS, None)
    assert list(table["status"] == "ok") == [True, False, True]


# What is quarantined


@pytest.mark.parametrize(
    ("height", "width", "status"),
    [
        (9, 40, "too small: 40 × 9 pixels, expected at least 10 a side"),
        (40, 9, "too small: 9 × 40 pixels, expected at least 10 a side"),
        (10, 41, "too large: 41 × 10 pixels, expected at most 40 a side"),
        (41, 10, "too large: 10 × 41 pixels, expected at most 40 a side"),
        (10, 40, "ok"),
    ],
)
def test_sides_out_of_bounds_are_told_with_both_numbers(height, width, status):
    assert check_one(Validation(min_side=10, max_side=40), height=height, width=width)[0] == status


@pytest.mark.parametrize(("height", "width", "is_sound"), [(10, 100, True), (101, 10, False), (10, 101, False)])
def test_long_and_narrow_images_are_told(height, width, is_sound):
    status, details = check_one(height=height, width=width)
    expected = f"too long and narrow: {width} × {height} pixels, expected one side at most 10 times the other"
    assert (status, details) == (("ok", {}) if is_sound else (expected, {"aspect": expected}))


def test_one_colour_is_told_with_its_level():
    status, details = check_one(one_colour=True, brightness=254.6)
    assert status == "one colour: all pixels alike, mean grey level 255"
    assert details == {"one_colour": status}


UNREADABLE = {
    **dict.fromkeys(("width", "height", "mode", "format", "brightness", "phash")),
    **{"error": "empty file: it has 0 bytes", "bytes": 0},
}


def test_what_is_unreadable_has_that_reason_and_no_other():
    status, details = check_one(image_size=(500, 500), path="cat/0.png", listed_width=3, listed_height=3, **UNREADABLE)
    assert status == "empty file: it has 0 bytes"
    assert details == {"unreadable": status}


def test_the_first_reason_is_the_status_and_all_are_found():
    table, findings = check({}, {"width": 2, "height": 90, "one_colour": True, "mode": "RGBA"}, {"mode": "CMYK"})
    assert table["status"][1].startswith("too small: 2 × 90 pixels")
    assert list(findings["row"]) == [1, 1, 1, 2]
    assert list(findings["check"]) == ["size", "aspect", "one_colour", "mode"]
    assert list(findings["quarantined"]) == [True, True, True, False]
    assert findings["detail"][0] == table["status"][1]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", {"width": 2, "height": 2}),
        ("aspect", {"width": 1000, "height": 50}),
        ("one_colour", {"one_colour": True}),
        ("box", {"box_x": 0.5, "box_y": 0.5, "box_width": 0.9, "box_height": 0.2}),
        ("wrong_extension", {"format": "WEBP"}),
        ("mode", {"mode": "CMYK"}),
        ("listed_size", {"listed_width": 99, "listed_height": 80}),
        ("low_resolution", {"image_size": (81, 90)}),
    ],
)
def test_a_check_that_is_off_is_not_made(name, values):
    assert set(check_one(**values)[1]) == {name}
    assert set(check_one(Validation(**{name: "critical"}), **values)[1]) == {name}
    assert check_one(Validation(**{name: "off"}), **values) == ("ok", {})


# What is named


@pytest.mark.parametrize("name", ["a.webp", "a.PNG", "x.jpg/a.gif", "a.b.tif"])
def test_a_name_that_says_another_format_is_named(name):
    status, details = check_one(path=name, format="JPEG")
    assert status == "ok"
    assert details == {"wrong_extension": f"is JPEG, named .{name.rsplit('.')[-1].lower()}"}


@pytest.mark.parametrize(
    ("name", "real"),
    [
        *((f"a{extension}", "JPEG") for extension in (".jpg", ".jpeg", ".jpe", ".jfif", ".JPG", ".mpo")),
        *((f"a{extension}", "TIFF") for extension in (".tif", ".tiff")),
        *(("a.jpg", "MPO"), ("a.dib", "DIB"), ("a.pgm", "PPM"), ("a.apng", "PNG")),
        *(("a", "JPEG"), (".png", "JPEG"), ("b.png/a", "JPEG"), ("Dr. No", "JPEG"), ("a.part", "JPEG"), ("a.", "PNG")),
    ],
)
def test_a_name_that_says_the_format_or_nothing_is_let_pass(name, real):
    assert check_one(path=name, format=real) == ("ok", {})


@pytest.mark.parametrize("mode", ["1", "LA", "P", "PA", "RGBA", "CMYK", "I;16", "I", "F", "LAB"])
def test_a_mode_that_is_converted_is_named_with_what_becomes_of_it(mode):
    status, details = check_one(mode=mode)
    assert status == "ok"
    assert details["mode"].startswith(f"is {mode}: ")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_8_bits_of_grey_or_rgb_are_let_pass(mode):
    assert check_one(mode=mode) == ("ok", {})


def test_another_size_than_the_source_states_is_named():
    details = check_one(listed_width=80, listed_height=100)[1]
    assert details == {"listed_size": "is 100 × 80 pixels, listed as 80 × 100"}
    assert check_one(listed_width=100, listed_height=80)[1] == {}
    assert check_one(listed_width=None, listed_height=None)[1] == {}


@pytest.mark.parametrize(("image_size", "is_low"), [((80, 100), False), ((81, 100), True), ((80, 101), True)])
def test_an_image_with_a_side_smaller_than_the_models_take_is_named(image_size, is_low):
    details = check_one(image_size=image_size)[1]
    expected = f"is 100 × 80 pixels, fewer than the models' {image_size[1]} × {image_size[0]}"
    assert details == ({"low_resolution": expected} if is_low else {})


# Boxes


def boxes_of(listed: dict, bounds: Validation = BOUNDS) -> tuple[list[float], str]:
    """Of one image of 100 × 80 pixels the box and the status."""
    table, _ = check({}, bounds=bounds, **{name: [value] for name, value in listed.items()})
    return [float(table[name][0]) for name in BOX_COLUMNS], table["status"][0]


def corners(*edges: float) -> dict[str, float]:
    return dict(zip(CORNER_COLUMNS, edges, strict=True))


def fractions(*parts: float | None) -> dict[str, float | None]:
    return dict(zip(BOX_COLUMNS, parts, strict=True))


def test_corners_become_fractions_of_the_real_size():
    listed = {**corners(10, 20, 60, 80), "listed_width": 200, "listed_height": 160}
    assert boxes_of(listed, Validation(listed_size="off")) == ([0.1, 0.25, 0.5, 0.75], "ok")


def test_fractions_are_kept_to_the_bit():
    parts = [0.1, 0.2, 0.7000000000000001, 0.3]
    assert boxes_of(fractions(*parts)) == (parts, "ok")


def test_an_image_without_a_box_is_sound():
    for listed in (fractions(None, None, None, None), corners(*[None] * 4)):
        box, status = boxes_of(listed)
        assert (np.isnan(box).all(), status) == (True, "ok")


@pytest.mark.parametrize("edges", [(-1, -1, 101, 81), (1, 1, 101, 81), (0, 0, 100, 81)])
def test_a_box_a_pixel_outside_is_clipped_to_the_edge(edges):
    (x, y, width, height), status = boxes_of(corners(*edges))
    assert status == "ok"
    assert (x, y) == (max(edges[0], 0) / 100, max(edges[1], 0) / 80)
    assert (x + width, y + height) == (pytest.approx(1), pytest.approx(1))
    assert x + width <= 1
    assert y + height <= 1


@pytest.mark.parametrize(
    ("box", "status"),
    [
        (corners(-2, 0, 50, 40), "box outside the image: x -0.02, y 0.0, width 0.52, height 0.5 in shares"),
        (corners(0, 0, 50, 82), "box outside the image: x 0.0, y 0.0, width 0.5, height 1.025 in shares"),
        (fractions(1.2, 0, 0.1, 0.1), "box outside the image: x 1.2,"),
        (fractions(float("inf"), 0, 0.1, 0.1), "box outside the image: x inf,"),
        (corners(50, 20, 50, 40), "box without size: x 0.5, y 0.25, width 0.0, height 0.25 in shares"),
        (corners(60, 20, 50, 40), "box without size: x 0.6, y 0.25, width -0.1, height 0.25 in shares"),
        (corners(100, 0, 101, 40), "box without size: x 1.0,"),
        (fractions(0.2, 0.2, 0.009, 0.5), "box too small: x 0.2, y 0.2, width 0.009, height 0.5 in shares"),
        (fractions(0.2, None, 0.5, 0.5), "box incomplete: x 0.2, y none, width 0.5, height 0.5 in shares"),
    ],
)
def test_a_wrong_box_is_quarantined_with_its_numbers(box, status):
    assert boxes_of(box)[1].startswith(status)


def test_a_box_that_is_too_small_is_told_with_the_bound():
    status = boxes_of(fractions(0, 0, 0.15, 0.5), Validation(min_box_side=0.2))[1]
    assert status.endswith("in shares of the image, expected at least 0.2 a side")


def test_a_box_is_left_alone_where_boxes_are_not_checked():
    assert boxes_of(corners(-1, -8, 50, 40), Validation(box="off")) == ([-0.01, -0.1, 0.51, 0.6], "ok")


def test_corners_in_an_unreadable_image_are_no_box():
    table, _ = check(UNREADABLE, **{name: [1.0] for name in CORNER_COLUMNS})
    assert table[list(BOX_COLUMNS)].isna().all(axis=None)


EDGES = st.tuples(*[st.integers(-30, 130)] * 4)
SIDES = st.integers(4, 100)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(EDGES, SIDES, SIDES), min_size=1, max_size=40))
def test_a_box_that_is_let_pass_lies_inside_and_has_a_size(boxes):
    edges = pd.DataFrame([box for box, _, _ in boxes], columns=list(CORNER_COLUMNS))
    sizes = [{"width": width, "height": height} for _, width, height in boxes]
    table, _ = check(*sizes, bounds=Validation(aspect="off"), **edges)
    width, height = table["width"].astype(float), table["height"].astype(float)
    left, top, right, bottom = (edges[name] for name in CORNER_COLUMNS)
    is_inside = (left >= -1) & (top >= -1) & (right <= width + 1) & (bottom <= height + 1)
    has_size = (right.clip(upper=width) > left.clip(lower=0)) & (bottom.clip(upper=height) > top.clip(lower=0))
    assert list(table["status"] == "ok") == list(is_inside & has_size)
    sound = table[table["status"] == "ok"]
    assert (sound[list(BOX_COLUMNS)] >= 0).all(axis=None)
    assert (sound["box_x"] + sound["box_width"] <= 1 + 1e-9).all()
    assert (sound["box_y"] + sound["box_height"] <= 1 + 1e-9).all()


# Dirt, from the files to the findings


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_folder_of_dirt_is_sorted_out(tmp_path, list_files):
    picture = Image.effect_noise((40, 30), 80).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    sound, photo = encode(picture, "JPEG"), encode(picture, "JPEG", exif=turned)
    files = {
        "animation.gif": encode(picture.convert("P"), "GIF"),
        "black.jpg": encode(Image.new("RGB", (40, 30)), "JPEG"),
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG"),
        "cut.jpg": sound[:-300],
        "deep.png": encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"),
        "empty.jpg": b"",
        "line\nbreak Ü.jpg": sound,
        "text.jpg": b"<html>404</html>",
        "turned.jpg": photo,
        "webp.jpg": encode(picture, "WEBP"),
    }
    data = tmp_path / "data"
    data.mkdir()
    for name, content in files.items():
        (data / name).write_bytes(content)
    (tmp_path / "outside.jpg").write_bytes(sound)
    (data / "link.jpg").symlink_to("../outside.jpg")
    listing = list_files(data, [*files, "link.jpg"])
    facts = inspect_images(listing, tmp_path / "cache")
    table, findings = check_images(pd.read_parquet(listing.path), facts, BOUNDS, None)
    found = findings.assign(path=table["path"].loc[findings["row"]].to_numpy())
    assert dict(zip(found["path"], found["check"], strict=True)) == {
        "animation.gif": "mode",
        "black.jpg": "one_colour",
        "cmyk.jpg": "mode",
        "cut.jpg": "unreadable",
        "deep.png": "mode",
        "empty.jpg": "unreadable",
        "link.jpg": "unreadable",
        "text.jpg": "unreadable",
        "webp.jpg": "wrong_extension",
    }
    assert list(found.loc[found["path"] == "webp.jpg", "detail"]) == ["is WEBP, named .jpg"]
    sound_rows = table[table["status"] == "ok"].set_index("path")
    assert set(sound_rows.index) == {*files, "link.jpg"} - set(found.loc[found["quarantined"], "path"])
    assert tuple(sound_rows.loc["turned.jpg", ["width", "height"]]) == (30, 40)
