"""The validation report's page, read as a parser reads it."""

import base64
import io
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks import picture_style
from tasks.image_store import write_store
from tasks.images import ImageReader
from tasks.manifest import conform
from tasks.validate import galleries
from tasks.validate.charts import SIZE_BINS, draw_brightness, draw_sizes, round_numbers, round_series
from tasks.validate.checked import FINDING_COLUMNS, PAIR_COLUMNS, CheckedData
from tasks.validate.expectations import ExpectationResult
from tasks.validate.page import render_page
from tasks.validate.thumbnails import MAX_SIDE, Album, make_thumbnail

PASSED = ExpectationResult("width_in_bounds", "critical", True, "Widths are in bounds; so it is in all.")
FAILED = ExpectationResult("class_size", "critical", False, "Every class has 10; dog has 1. Add images.")
WARNED = ExpectationResult("class_imbalance", "warning", False, "Classes are even; 12 to 1. Judge by macro F1.")
VOID = {"meta", "link", "img", "br", "wbr", "line", "rect"}


class Page(HTMLParser):
    """Tags with their attributes, and the text of each section."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.section, self.text, self.texts = [], [], "head", {}, {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes), self.section))
        if tag == "section":
            self.section = dict(attributes)["id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, text):
        self.text[self.section] = self.text.get(self.section, "") + text
        self.texts.setdefault((self.section, self.open[-1] if self.open else ""), []).append(text.strip())

    def attributes(self, tag, section=None):
        return [of for name, of, where in self.tags if name == tag and section in (None, where)]


def read(data) -> Page:
    page = Page(render_page(data))
    assert page.open == []
    return page


def checked(
    table, class_names=("cat", "dog"), root=None, findings=(), pairs=(), results=(PASSED,), **more
) -> CheckedData:
    return CheckedData(
        table=table,
        class_names=tuple(class_names),
        findings=pd.DataFrame(list(findings), columns=list(FINDING_COLUMNS)),
        pairs=pd.DataFrame(list(pairs), columns=list(PAIR_COLUMNS)),
        results=tuple(results),
        notes=more.pop("notes", ()),
        reader=ImageReader(root, None),
        **more,
    )


@pytest.fixture
def pictures(tmp_path, make_manifest):
    """`pictures(cat=12)`: a manifest whose images are there, each of a colour and an id of its own."""

    def make(**images):
        table = make_manifest(**images)
        rng = np.random.default_rng(0)
        for path in table["path"]:
            (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
            Image.new("RGB", (32, 24), tuple(rng.integers(0, 256, 3).tolist())).save(tmp_path / path)
        ids = [rng.bytes(32).hex() for _ in range(len(table))]
        return table.assign(image_id=ids, format="PNG", brightness=rng.uniform(0, 255, len(table)))

    return make


def test_the_page_needs_nothing_beside_itself(pictures, tmp_path):
    html = render_page(checked(pictures(cat=12, dog=5), root=tmp_path, licence="CC0, see https://example.org/cc0"))
    page = Page(html)
    named = [of[key] for _, of, _ in page.tags for key in ("src", "href", "srcset", "data", "action") if key in of]
    assert [name for name in named if not name.startswith(("data:", "#"))] == []
    assert page.attributes("script") == []
    assert "url(" not in html
    assert "@import" not in html
    assert "https://example.org/cc0" in html


def test_the_sections_stand_in_their_order_and_all_links_lead_somewhere(pictures, tmp_path):
    page = read(checked(pictures(cat=12, dog=5), root=tmp_path))
    sections = ["verdict", "classes", "samples", "sizes", "brightness", "formats", "duplicates"]
    sections += ["quarantined", "findings", "expectations", "notes"]
    ids = [of["id"] for _, of, _ in page.tags if "id" in of]
    assert [name for name in ids if name != "data"] == sections
    assert {of["href"] for of in page.attributes("a")} == {f"#{name}" for name in sections[1:]}


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ([PASSED], "The data may be used\nEvery critical expectation is met. There is nothing to do."),
        ([PASSED, WARNED], f"1 warning, worth a look before training\n\n{WARNED.sentence}"),
        ([WARNED, FAILED], "The data may not be used\n1 critical expectation failed."),
        ([WARNED, FAILED], FAILED.sentence),
    ],
)
def test_the_verdict_says_whether_the_data_may_be_used_and_what_to_do(make_manifest, results, told):
    assert told in read(checked(make_manifest(cat=3, dog=3), results=results)).text["verdict"]


def test_expectations_are_all_listed_failed_ones_first(make_manifest):
    page = read(checked(make_manifest(cat=3, dog=3), results=[PASSED, WARNED, FAILED]))
    assert page.texts["expectations", "code"] == ["class_size", "class_imbalance", "width_in_bounds"]
    assert "1 of 3 passed" in page.text["expectations"]


def test_source_digest_licence_citation_and_notes_are_told(make_manifest):
    more = {"licence": "CC BY 4.0", "citation": "Somebody (2001)", "notes": ("left out: Thumbs.db",)}
    page = read(checked(make_manifest(cat=3, dog=3), **more))
    told = page.texts["verdict", "dd"]
    assert told[:5] == ["folder", "6", "6", "0", "2"]
    assert told[-2:] == ["CC BY 4.0", "Somebody (2001)"]
    assert "left out: Thumbs.db" in page.text["notes"]


@pytest.fixture(scope="module")
def plain(make_manifest):
    return read(checked(make_manifest(cat=3, dog=3)))


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=30))
def test_names_stay_text_whatever_they_are(make_manifest, plain, name):
    table = make_manifest(cat=3, dog=3).replace({"class_name": {"cat": name}})
    table.loc[0, ["path", "status"]] = [f"{name}/{name}.png", f"cannot be decoded: {name}"]
    page = read(checked(table, (name, "dog")))
    assert name in page.text["classes"]
    assert f"{name}/{name}.png" in page.text["quarantined"]
    assert {tag for tag, _, _ in page.tags} - {"figure", "figcaption", "wbr"} <= {tag for tag, _, _ in plain.tags}
    assert {key for _, of, _ in page.tags for key in of} == {key for _, of, _ in plain.tags for key in of}


def test_a_class_named_as_markup_is_shown_as_it_is_named(pictures, tmp_path):
    name = "<script>alert('1')</script>"
    table = pictures(cat=9, dog=3).replace({"class_name": {"cat": name}})
    page = read(checked(table, (name, "dog"), tmp_path))
    assert page.attributes("script") == []
    assert page.texts["samples", "bdi"] == [name, "dog"]
    assert page.attributes("img", "samples")[0]["alt"].endswith(f"class {name}")


def shown(page, section):
    return [of["alt"].split(",")[0] for of in page.attributes("img", section)]


def test_samples_are_a_draw_that_hangs_on_the_pixels_alone(pictures, tmp_path):
    table = pictures(cat=40, dog=5)
    names = shown(read(checked(table, root=tmp_path)), "samples")
    backwards = table.iloc[::-1].reset_index(drop=True)
    assert (len(names), len(set(names))) == (galleries.SAMPLES_PER_CLASS + 5, len(names))
    assert names != sorted(names)
    assert not set(table["path"][:8]) <= set(names)
    assert shown(read(checked(backwards, root=tmp_path)), "samples") == names


def test_quarantined_images_are_no_samples(pictures, tmp_path):
    table = pictures(cat=5, dog=3)
    table.loc[2, "status"] = "duplicate of cat/000.png"
    page = read(checked(table, root=tmp_path))
    assert "cat/002.png" not in shown(page, "samples")
    assert shown(page, "quarantined") == ["cat/002.png"]
    assert "duplicate of cat/000.png" in page.text["quarantined"]


def test_of_many_classes_only_the_first_are_shown_and_it_is_told(make_manifest):
    names = [f"c{number}" for number in range(galleries.MAX_CLASSES + 5)]
    page = read(checked(make_manifest(**dict.fromkeys(names, 1)), names))
    assert page.texts["samples", "bdi"] == names[:-5]
    assert "The first 60 of 65 classes are shown." in page.text["samples"]
    assert page.texts["classes", "bdi"] == names


def test_classes_are_counted_by_split_with_what_is_quarantined(make_manifest):
    table = make_manifest(cat=12, dog=5)
    table.loc[:9, "split"] = "train"
    table.loc[10:12, "split"] = "test"
    table.loc[16, "status"] = "empty file: it has 0 bytes"
    page = read(checked(table))
    assert page.texts["classes", "td"] == [
        *("17", "10", "3", "3", "1"),
        *("12", "10", "2", "0", "0"),
        *("5", "0", "1", "3", "1"),
    ]
    assert [of["style"] for of in page.attributes("span", "classes") if of.get("title") == "train: 10"] == [
        "width: 83.33%"
    ]


def png_that_claims(width, height):
    """A PNG of a few bytes whose header claims so many pixels."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("content", [None, b"", b"no image", png_that_claims(30_000, 30_000), "truncated"])
def test_a_file_that_cannot_be_shown_leaves_a_place_that_says_so(pictures, tmp_path, content):
    table = pictures(cat=4, dog=3)
    file = tmp_path / table.loc[1, "path"]
    file.write_bytes(file.read_bytes()[:60] if content == "truncated" else content or b"")
    if content is None:
        file.unlink()
    columns = ["status", "width", "height", "mode", "format", "brightness"]
    table.loc[1, columns] = ["cannot be decoded: <broken>", None, None, None, None, None]
    page = read(checked(table, root=tmp_path))
    assert shown(page, "quarantined") == []
    (place,) = [of for of in page.attributes("div", "quarantined") if of.get("role") == "img"]
    assert place["aria-label"] == "cat/001.png, class cat: cannot be shown"
    assert "cannot be decoded: <broken>" in page.text["quarantined"]


def test_quarantined_images_are_grouped_by_reason_and_each_reason_is_shown(make_manifest):
    table = make_manifest(cat=galleries.MAX_QUARANTINED + 50, dog=4)
    table.loc[: galleries.MAX_QUARANTINED + 39, "status"] = "duplicate of cat/249.png"
    table.loc[galleries.MAX_QUARANTINED + 40, "status"] = "empty file: it has 0 bytes"
    page = read(checked(table))
    titles = page.texts["quarantined", "h3"]
    assert [title for title in titles if title] == ["Duplicates", "Empty file"]
    assert "240 images, 199 of them shown; all are in validation_report.json" in page.text["quarantined"]
    assert len(page.attributes("figure", "quarantined")) == galleries.MAX_QUARANTINED


def test_pairs_are_shown_side_by_side_those_in_two_classes_first(pictures, tmp_path):
    table = pictures(cat=4, dog=3)
    table.loc[[0, 2], "split"] = ["train", "test"]
    pairs = [
        (0, 1, "exact", 0),
        (2, 0, "near", 1),
        (1, 5, "near", 4),
        (4, 0, "exact", 0),
        (1, 3, "near", 3),
        (3, 0, "near", 5),
    ]
    page = read(checked(table, root=tmp_path, pairs=pairs))
    assert [title for title in page.texts["duplicates", "h3"] if title] == [
        "In two classes",
        "In two splits",
        "Within one class",
    ]
    assert shown(page, "duplicates") == [table.loc[row, "path"] for row in (4, 0, 1, 5, 2, 0, 0, 1, 1, 3, 3, 0)]
    assert "1 exact pair, 1 near pair" in page.text["duplicates"]
    assert [text for text in page.texts["duplicates", "p"] if "qual" in text] == [
        "Equal pixels",
        "Nearly equal, 4 bits of 64 apart",
        "Nearly equal, 1 bit of 64 apart",
        "Equal pixels",
        "Nearly equal, 3 bits of 64 apart",
        "Nearly equal, 5 bits of 64 apart",
    ]


def test_of_many_pairs_only_so_many_are_shown_and_the_total_is_told(make_manifest):
    pairs = [(row, row + 1, "near", 2) for row in range(galleries.MAX_PAIRS + 20)]
    page = read(checked(make_manifest(cat=galleries.MAX_PAIRS + 30, dog=3), pairs=pairs))
    assert len(page.attributes("figure", "duplicates")) == 2 * galleries.MAX_PAIRS
    assert "70 near pairs; 50 of them shown" in page.text["duplicates"]


def test_findings_that_quarantine_nothing_are_counted_by_check(make_manifest):
    findings = [(row, "wrong_extension", "is WEBP, named .jpg", False) for row in range(11)]
    findings += [(3, "mode", "is CMYK", False), (4, "one_colour", "all is black", True)]
    page = read(checked(make_manifest(cat=12, dog=3), findings=findings))
    titles = [title for title in page.texts["findings", "h3"] if title]
    assert titles == ["Of another format than the name says", "Neither grey nor RGB of 8 bits"]
    assert "11 images, 8 of them shown" in page.text["findings"]
    assert "all is black" not in page.text["findings"]


def test_one_size_is_a_sentence_and_several_are_a_chart(make_manifest):
    table = make_manifest(cat=4, dog=3)
    assert "All usable images are 32 pixels wide and 24 high." in read(checked(table)).text["sizes"]
    table.loc[0, ["width", "height"]] = [640, 480]
    several = read(checked(table))
    assert several.attributes("svg", "sizes")[0]["aria-label"].startswith("Width and height of 7 images")
    assert "32 × 24" in several.text["sizes"]


def test_an_empty_manifest_has_a_page(make_manifest):
    page = read(checked(make_manifest(cat=1, dog=1).iloc[:0]))
    assert "There are no usable images." in page.text["sizes"]
    assert page.text["quarantined"].split() == ["Quarantined", "images", "None."]


def test_where_nothing_is_usable_the_page_still_shows_what_is_there(pictures, tmp_path):
    table = pictures(cat=2, dog=2).assign(status="one colour: every pixel is black")
    assert len(shown(read(checked(table, root=tmp_path)), "quarantined")) == 4


def test_an_image_is_decoded_once_and_none_beyond_the_budget(pictures, tmp_path):
    table = pictures(cat=3, dog=1)
    album = Album(table, ImageReader(tmp_path, None), budget=2 * 32 * 24)
    first, second, third = album.show([0, 1, 2])
    assert (first.absence, second.absence) == ("", "")
    assert (third.thumbnail, third.absence) == (None, "not shown, to keep the page quick")
    (tmp_path / table.loc[0, "path"]).unlink()
    assert album.show([0], ["again"])[0].thumbnail == first.thumbnail


def test_fewer_samples_of_a_class_are_shown_where_images_are_large(make_manifest):
    table = make_manifest(cat=12, dog=12).assign(width=4_000, height=2_500)
    page = read(checked(table))
    assert len(page.attributes("figure", "samples")) == 2 * 5


def decoded(thumbnail):
    return Image.open(io.BytesIO(base64.b64decode(thumbnail.uri.split(",")[1])))


@pytest.mark.parametrize(
    ("size", "expected", "kind"),
    [((640, 320), (MAX_SIDE, MAX_SIDE // 2), "JPEG"), ((32, 8), (32, 8), "PNG"), ((9_000, 2), (MAX_SIDE, 1), "JPEG")],
)
def test_thumbnails_keep_the_shape_and_are_never_enlarged(size, expected, kind):
    thumbnail = make_thumbnail(Image.new("RGB", size, "gray"), None)
    assert (thumbnail.width, thumbnail.height) == decoded(thumbnail).size == expected
    assert decoded(thumbnail).format == kind


def test_the_box_is_drawn_where_it_is():
    image = make_thumbnail(Image.new("RGB", (40, 40)), (0.25, 0.5, 0.5, 0.25))
    bright = np.argwhere(np.asarray(decoded(image)) == np.array(tuple(bytes.fromhex(picture_style.SECOND[1:]))))
    assert (bright[:, :2].min(axis=0).tolist(), bright[:, :2].max(axis=0).tolist()) == ([20, 10], [29, 29])


@given(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4))
def test_no_box_breaks_a_thumbnail(box):
    assert make_thumbnail(Image.new("RGB", (20, 10)), box).width == 20


@given(st.floats(1e-3, 1e6), st.floats(1.001, 1e4), st.integers(2, 8))
def test_ticks_are_few_round_and_within_their_axis(low, ratio, about):
    for numbers in (round_numbers(low, low * ratio, about), round_series(low, low * ratio)):
        assert all(low * 0.999 <= number <= low * ratio * 1.001 for number in numbers)
        assert all(f"{number:.0e}"[0] in "125" for number in numbers) or numbers == round_numbers(
            low, low * ratio, about
        )
    assert len(round_numbers(low, low * ratio, about)) <= about + 1


@given(st.lists(st.tuples(st.integers(1, 9_000), st.integers(1, 9_000)), min_size=1, max_size=40))
def test_every_image_has_a_place_in_the_chart_of_sizes(sizes):
    widths, heights = (pd.Series(side, dtype="int64") for side in zip(*sizes, strict=True))
    chart = draw_sizes(widths, heights)
    counted = sum(int(mark.title.split(": ")[1].split()[0].replace(",", "")) for mark in chart.marks)
    assert counted == len(sizes)
    assert len(chart.marks) <= SIZE_BINS**2
    assert all(0 <= mark.x < chart.width and -1e-6 <= mark.y < chart.height for mark in chart.marks)
    assert all(0 < mark.strength <= 1 for mark in chart.marks)


@given(st.lists(st.floats(0, 255), min_size=1, max_size=40))
def test_the_bars_of_brightness_count_every_image(levels):
    chart = draw_brightness(pd.Series(levels))
    assert sum(int(mark.title.split(": ")[1].split()[0]) for mark in chart.marks) == len(levels)
    assert max(mark.height for mark in chart.marks) == chart.height


def test_images_of_a_store_are_shown_by_index(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    write_store(tmp_path / "store.arrow", [buffer.getvalue()])
    row = {"source": "digits", "index": 0, "label": 0, "class_name": "0", "width": 8, "height": 8, "status": "ok"}
    table = conform(pd.DataFrame([{**row, "bytes": 9, **dict.fromkeys(("image_id", "sha256", "phash", "group"), "a")}]))
    (picture,) = Album(table, ImageReader(None, tmp_path / "store.arrow")).show([0])
    assert (picture.name, picture.size) == ("index 0", "8 × 8")
    assert decoded(picture.thumbnail).getpixel((0, 0)) == (255, 0, 0)


def test_an_image_that_nothing_can_read_does_not_break_the_page(make_manifest, tmp_path):
    lost = make_manifest(cat=3, dog=3).assign(
        path=pd.Series([None] * 6, dtype="str"), index=pd.array(range(6), "Int64")
    )
    write_store(tmp_path / "store.arrow", [b"only one"])
    for store in (None, tmp_path / "store.arrow"):
        (picture,) = Album(lost, ImageReader(None, store)).show([4])
        assert picture.absence == "cannot be shown"
