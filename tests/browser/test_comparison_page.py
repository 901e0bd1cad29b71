"""The comparison as its reader sees it: opened from the disk in a real browser without a network."""

from dataclasses import replace

import pytest

from tasks.compare.files import write_comparison
from tasks.compare.rows import make_row
from tasks.compare.table import Group
from tasks.tracking import LoggedRun

NAMES = ("<script>document.title = 'broken'</script>", "a_name_without_any_place_to_break_it_" * 3, "cnn")
METRICS = {"test_accuracy": 0.9, "test_accuracy_low": 0.87, "test_accuracy_high": 0.93, "parameters": 49_723_082}
PARAMS = {
    **{"train.optimizer": "adam", "train.learning_rate": "0.001", "network.loss": "categorical_crossentropy"},
    **{f"train.augmentation.{name}": "0.2" for name in ("rotation", "width_shift", "height_shift", "zoom", "shear")},
}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    run = LoggedRun("0" * 32, "", "digits", "d" * 64, True, PARAMS, METRICS, "good", "A sentence on it. " * 10)
    rows = [make_row(replace(run, name=name), rank, rank < 3) for rank, name in enumerate(NAMES, 1)]
    folder = tmp_path_factory.mktemp("comparison")
    write_comparison([Group("d" * 64, 343, tuple(rows))], folder)
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
    assert page.get_by_role("rowheader", name=NAMES[0]).count() == 4
    heads = page.evaluate("[...document.querySelectorAll('table')].map(t => [...t.rows].map(r => r.cells.length))")
    assert all(len(set(counts)) == 1 for counts in heads)
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
