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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; the checks that precede a landing install it where it is missing (`.ci/run`)."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path; Debian's package of that name has it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()
