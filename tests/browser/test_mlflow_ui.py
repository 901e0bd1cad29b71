"""What was logged, seen as a user sees it: the MLflow UI in a real browser."""

import json
from urllib.parse import quote

import pytest


@pytest.fixture(scope="module")
def ui(digits, darkroom, free_port, wait_until):
    """Address of `darkroom ui` on the home of the digits run, until the tests are done."""
    import httpx

    port = free_port()
    with darkroom.start("ui", "--port", str(port), home=digits.home):
        address = f"http://127.0.0.1:{port}"

        def answers():
            try:
                return httpx.get(f"{address}/health").is_success
            except httpx.TransportError:
                return False

        wait_until(answers, 90, "the MLflow UI")
        yield address


@pytest.fixture
def page(browser):
    """A page that keeps in `asked` every address that it asks."""
    opened = browser.new_page(viewport={"width": 1500, "height": 1100})
    opened.set_default_timeout(60_000)
    opened.asked = []
    opened.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    opened.close()


def test_the_three_runs_are_compared_side_by_side(page, ui, digits, wait_until):
    models = digits.first.answer["models"]
    runs = quote(json.dumps([model["run_id"] for model in models]))
    page.goto(f"{ui}/#/compare-runs?runs={runs}&experiments={quote(json.dumps(['1']))}")
    page.get_by_text("Comparing 3 Runs").wait_for()
    for model in models:
        assert page.get_by_text(model["name"], exact=True).count() >= 1
    # Only a part of the list of metrics is in the page.
    metrics = page.locator(".ReactVirtualized__Grid").filter(has_text="chosen_epoch").element_handle()

    def scrolled_to_accuracy():
        metrics.evaluate("list => list.scrollTop += 100")
        return page.get_by_text("test_accuracy", exact=True).count()

    wait_until(scrolled_to_accuracy, 30, "test_accuracy in the list of metrics")


def test_each_run_shows_its_confusion_matrix(page, ui, digits):
    for model in digits.first.answer["models"]:
        picture = "evaluation/confusion_matrix.png"
        page.goto(f"{ui}/#/experiments/1/runs/{model['run_id']}/artifacts/{picture}")
        image = page.get_by_alt_text(picture)
        image.wait_for()
        assert image.evaluate("image => image.complete && image.naturalWidth") >= 400


def test_the_pages_ask_nothing_of_other_machines(page, ui):
    page.goto(f"{ui}/#/experiments/1/runs?workflowType=machine_learning")
    page.get_by_text("pipeline digits", exact=True).first.wait_for()
    own = (ui, "data:", "blob:")
    assert [address for address in page.asked if not address.startswith(own)] == []
