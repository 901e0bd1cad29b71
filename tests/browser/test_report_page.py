"""The validation report as its reader sees it: opened from the disk in a real browser without a network."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.images import ImageReader
from tasks.manifest import conform
from tasks.validate.checked import CheckedData
from tasks.validate.expectations import ExpectationResult
from tasks.validate.report import write_report

CLASSES = ("<script>document.title = 'broken'</script>", "a_class_with_a_name_without_any_place_to_break_it_" * 3)
RESULTS = (
    ExpectationResult("class_size", "critical", False, "Every class has 50 images; the smallest has 14. Add images."),
    ExpectationResult("width_in_bounds", "critical", True, "Widths are in bounds; so it is in all."),
)


def manifest_of(root) -> pd.DataFrame:
    """Two classes of 14 pictures of many sizes, with boxes; the last is quarantined and no picture at all."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(28):
        width, height = (int(side) for side in rng.integers(20, 400, 2))
        path = f"folder_{'with_a_long_name_' * 6}{number}.jpg"
        Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist())).save(root / path)
        more = {"path": path, "label": number % 2, "image_id": rng.bytes(32).hex(), "width": width, "height": height}
        rows.append({**more, "brightness": float(rng.uniform(0, 255)), "split": ("train", "test")[number // 14]})
    fixed = {"source": "folder", "mode": "RGB", "format": "JPEG", "bytes": 900, "status": "ok"}
    boxes = dict.fromkeys(("box_x", "box_y", "box_width", "box_height"), 0.25)
    table = pd.DataFrame(rows).assign(**fixed, **boxes, sha256="0", phash="0", group="0")
    table["class_name"] = [CLASSES[label] for label in table["label"]]
    table.loc[27, ["status", "width", "height"]] = ["cannot be decoded: no image", None, None]
    (root / table.loc[27, "path"]).write_bytes(b"no image")
    return conform(table)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    root, folder = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("report")
    findings = pd.DataFrame({"row": range(20), "check": "mode", "detail": "is CMYK", "quarantined": False})
    pairs = pd.DataFrame({"first": range(12), "second": range(1, 13), "kind": "near", "distance": 3})
    write_report(CheckedData(manifest_of(root), CLASSES, findings, pairs, RESULTS, (), ImageReader(root, None)), folder)
    return (folder / "validation_report.html").as_uri()


@pytest.fixture
def show(browser, address):
    """`show(width=390)`: the page, with the addresses it `asked` and what it `complained` of."""
    contexts = []

    def opened(width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complained = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complained.append(message.text))
        page.on("pageerror", lambda error: page.complained.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()


def test_it_opens_without_a_network_and_asks_for_nothing(show, address):
    page = show()
    assert page.title() == "Validation report: folder"
    assert page.get_by_role("heading", name="The data may not be used").is_visible()
    assert [asked for asked in page.asked if not asked.startswith("data:")] == [address]
    assert page.complained == []


def test_every_section_can_be_reached_from_the_top(show):
    page = show()
    for link in page.locator("nav a").all():
        link.click()
        assert page.locator(link.get_attribute("href")).is_visible()
    assert page.locator("section").count() == 11


def test_all_images_have_loaded_and_are_told_in_words(show):
    images = show().evaluate("[...document.images].map(image => [image.naturalWidth, image.alt.length])")
    assert len(images) == 16 + 24 + 8  # samples, pairs, findings; the broken one has a place of its own
    assert all(width > 0 and words > 0 for width, words in images)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_stands_out_of_the_page(show, width):
    page = show(width)
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    clipped = """[...document.querySelectorAll('main *')]
        .filter(element => element.scrollWidth > element.clientWidth + 1)
        .filter(element => getComputedStyle(element).display !== 'inline' && !element.closest('svg, .scroll'))
        .map(element => element.outerHTML.slice(0, 80))"""
    assert page.evaluate(clipped) == []


def brightness(page, selector):
    colours = page.locator(selector).first.evaluate(
        "element => [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor]"
    )
    return [sum(int(part) for part in colour[4:-1].split(",")[:3]) / 3 for colour in colours]


@pytest.mark.parametrize(("scheme", "sign"), [("light", 1), ("dark", -1)])
@pytest.mark.parametrize("selector", ["h1", ".quiet", "nav a", "td"])
def test_text_stands_out_from_the_ground_in_light_and_dark(show, scheme, sign, selector):
    ink, ground = brightness(show(color_scheme=scheme), selector)
    assert sign * (ground - ink) > 80


def test_what_is_folded_away_is_printed(show):
    page = show()
    page.emulate_media(media="print", color_scheme="dark")
    ink, ground = brightness(page, "h1")
    assert ground > ink
    assert page.locator("#duplicates details figure").last.bounding_box()["height"] > 50
