"""The comparison as its reader sees it: opened from the disk in a real browser without a network."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tasks.compare.answers import Answers
from tasks.compare.files import write_comparison
from tasks.compare.lone_hits import find_lone_hits, ids_of
from tasks.compare.table import compare
from tasks.compare.thumbnails import Thumbnails
from tasks.tracking import LoggedRun

NAMES = ("<script>document.title = 'broken'</script>", "a_name_without_any_place_to_break_it_" * 3, "cnn")
METRICS = {"test_accuracy": 0.9, "test_accuracy_low": 0.87, "test_accuracy_high": 0.93, "parameters": 49_723_082}
PARAMS = {
    **{"train.optimizer": "adam", "train.learning_rate": "0.001", "network.loss": "categorical_crossentropy"},
    **{f"train.augmentation.{name}": "0.2" for name in ("rotation", "width_shift", "height_shift", "zoom", "shear")},
}


CLASSES = (*NAMES, *(f"class {number}" for number in range(37)))
ROWS = 400
EPOCHS = range(1, 13)
NAMES_THAT_COVER = """
svg => {
  const boxes = [...svg.querySelectorAll("text.name")].map(text => text.getBoundingClientRect());
  const cover = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;  // of the line's height, which has some air
  return boxes.length + " " + boxes.some((a, i) => boxes.slice(i + 1).some(b => cover(a, b)));
}
"""


def run_of(number: int) -> LoggedRun:
    """Six models that cost alike: their points and curves lie close to each other."""
    name = NAMES[number] if number < len(NAMES) else f"transfer_efficientnet_b0_{number}"
    accuracy = 0.9 - 0.01 * number
    metrics = {"test_accuracy": accuracy, "test_accuracy_low": accuracy - 0.03, "test_accuracy_high": accuracy + 0.03}
    curves = {
        "val_accuracy": {epoch: accuracy - 0.3 / epoch for epoch in EPOCHS},
        "val_loss": {epoch: 0.1 * number + 1 / epoch for epoch in EPOCHS},
    }
    return LoggedRun(
        run_id=f"{number:032}",
        name=name,
        experiment="digits",
        test_digest="d" * 64,
        is_network=True,
        params=PARAMS,
        metrics={**metrics, "parameters": 49_723_082 + number, "fit_seconds": 60 * 1.1**number},
        diagnosis="good",
        comment="A sentence on it. " * 10,
        history=curves,
    )


def answers_of(number: int) -> Answers:
    generator = np.random.default_rng(number)
    labels = np.arange(ROWS) % len(CLASSES)
    said = np.where(generator.random(ROWS) < 0.9 * 0.6**number, labels, generator.integers(len(CLASSES), size=ROWS))
    ids = np.array([f"{row:064}" for row in range(ROWS)], dtype=object)
    return Answers(ids, labels, CLASSES, said, generator.exponential(size=ROWS))


def thumbnail() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "teal").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("comparison")
    runs = [run_of(number) for number in range(6)]
    (group,) = compare(runs, {run.run_id: answers_of(number) for number, run in enumerate(runs)})
    shown = ids_of(find_lone_hits(group))[1:]
    write_comparison([group], folder, {group.test_digest: Thumbnails(dict.fromkeys(shown, thumbnail()))})
    return (folder / "comparison.html").as_uri()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_a_network_and_nothing_stands_out_of_the_page(browser, address, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page, asked, complained = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complained.append(message.text))
    page.goto(address)
    assert page.title() == "Comparison of models: digits"
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert complained == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.get_by_role("rowheader", name=NAMES[0], exact=True).count() == 5  # one of them is a class
    heads = page.evaluate("[...document.querySelectorAll('table')].map(t => [...t.rows].map(r => r.cells.length))")
    assert all(len(set(counts)) == 1 for counts in heads)
    loaded = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert set(loaded) == {32}
    context.close()


def test_the_bars_stand_under_their_scale(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)

    def middle(selector):
        box = page.locator(selector).first.bounding_box()
        return box["x"] + box["width"] / 2

    assert middle(".strip b") == pytest.approx(middle(".strip u"), abs=1)
    assert middle(".scale i:has-text('0.90')") == pytest.approx(middle(".strip u"), abs=2)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_in_the_charts_are_legible_and_do_not_cover_each_other(browser, address, scheme):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.goto(address)
    charts = page.locator("figure > svg")
    assert [charts.nth(i).evaluate(NAMES_THAT_COVER) for i in range(charts.count())] == ["6 false"] * 4
    ink, paper = page.evaluate(
        "[getComputedStyle(document.querySelector('text.name')).fill, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) > 7
    page.close()


def contrast(first: str, second: str) -> float:
    """Ratio of two colours as `rgb(r, g, b)` (WCAG 2.2, contrast ratio)."""
    lights = []
    for colour in (first, second):
        shares = np.array([int(part) for part in colour[4:-1].split(",")]) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(lights) / min(lights)
