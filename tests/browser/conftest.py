"""A real browser, without a window and without errands of its own."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, which `.ci/run` installs where it is missing. Without it the tests that need it say so and are skipped:
    what the project asks of a machine is Python, pip, make and git.

    No longer than for a module: playwright keeps an event loop running, which Prefect takes for an asynchronous caller.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path; Debian's package of that name has it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()
