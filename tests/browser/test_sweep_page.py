"""The report of a sweep as its reader sees it: opened from the disk in a real browser without a network."""

import json
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from pipeline_config.sweep import Sweep
from tasks.records import Trial
from tasks.sweep.report import write_report

EVIL = "<img src=x onerror=\"document.title = 'broken'\">"
SPACE = {
    "train.learning_rate": [1e-5, 1e-4, 1e-3],
    "params.filters": [[64, 64, 64], [32, 64, 128, 256, 512, 1024]],
    "params.activation": ["relu", EVIL],
}
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """Of a sweep of thirty trials in all states."""
    study, trials = optuna.create_study(direction="maximize"), []
    for number in range(30):
        params = {key: choices[number % len(choices)] for key, choices in SPACE.items()}
        state = "failed" if number == 4 else "pruned" if number % 5 == 2 else "complete"
        value = 0.8 + 0.002 * number
        curve = {epoch: value - 0.3 / epoch for epoch in range(1, {"complete": 9, "pruned": 3, "failed": 0}[state])}
        ends = (value - 0.02, value + 0.02) if state == "complete" else ()
        final = None if state == "failed" else value
        reason = EVIL if state == "failed" else ""
        metrics = {"parameters": 49_723_082.0, "fit_seconds": 1234.5}
        trials.append(Trial(number, state, params, "f" * 32, final, *ends, epochs=8, metrics=metrics, reason=reason))
        as_text = {key: [json.dumps(one) if isinstance(one, list) else one for one in SPACE[key]] for key in SPACE}
        study.add_trial(
            create_trial(
                state=STATES[state],
                value=value if state == "complete" else None,
                params={key: as_text[key][number % len(as_text[key])] for key in SPACE},
                distributions={key: CategoricalDistribution(choices) for key, choices in as_text.items()},
                intermediate_values=curve,
            )
        )
    folder = tmp_path_factory.mktemp("sweep")
    write_report(study, trials, Sweep(model="cnn", space=SPACE), folder)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def page(browser, address) -> Iterator[Any]:
    """The page, opened once, with what it asked for and complained of."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True, color_scheme="light")
    opened = context.new_page()
    opened.asked, opened.complained = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("console", lambda message: opened.complained.append(message.text))
    opened.on("pageerror", lambda error: opened.complained.append(str(error)))
    opened.goto(address)
    yield opened
    context.close()


def test_it_opens_without_a_network_and_draws_every_plot(page, address):
    drawn = page.evaluate(
        "[...document.querySelectorAll('[data-figure]')].map(place => place.querySelectorAll('.main-svg').length)"
    )
    assert len(drawn) == 4 + len(SPACE)
    assert all(drawn)
    assert [url for url in page.asked if not url.startswith(("data:", "blob:"))] == [address]
    assert page.complained == []
    assert page.title() == "Sweep of cnn"


def test_the_bars_stand_on_their_marks(page):
    boxes = [page.locator(selector).first.bounding_box() for selector in (".strip b", ".strip u")]
    bar, mark = (box["x"] + box["width"] / 2 for box in boxes)
    assert bar == pytest.approx(mark, abs=1)


@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_stands_out_of_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_plots_follow_the_reader_from_light_to_dark(page):
    title = page.locator("[data-figure=history] .xtitle")
    light = title.evaluate("text => getComputedStyle(text).fill")
    page.emulate_media(color_scheme="dark")
    # While a plot is drawn anew, its title is gone for a moment, and has no colour.
    drawn = """before => {
        const title = document.querySelector("[data-figure=history] .xtitle");
        const fill = title && getComputedStyle(title).fill;
        return fill && fill !== before ? fill : null;
    }"""
    dark = page.wait_for_function(drawn, arg=light).json_value()
    assert sum(map(int, light[4:-1].split(","))) < 200
    assert sum(map(int, dark[4:-1].split(","))) > 500
