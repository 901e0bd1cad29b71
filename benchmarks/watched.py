"""Commands of `darkroom`, one after the other in one process, which imports once: what `offline.py` watches.

    python benchmarks/watched.py COMMANDS.json

Each command is a list of words. `BEST` in them is the train run of the best model of the `run` before, which is asked
for its answer by --json. A demo is asked for its page and about a picture, as a browser would, and ended by Ctrl-C.
"""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path

import httpx

from flows.cli import app

_PATIENCE = 240  # seconds for the demo to start


def main() -> None:
    """Ends with a sentence where a command fails."""
    best = ""
    for words in json.loads(Path(sys.argv[1]).read_text()):
        asking = _visited(words[words.index("--port") + 1]) if words[0] == "demo" else nullcontext()
        with redirect_stdout(io.StringIO()) as told, asking:
            code = app([word.replace("BEST", best) for word in words], standalone_mode=False)
        if code:
            sys.exit(f"{words} ended with {code}: {told.getvalue()}")
        if words[0] == "run":
            best = json.loads(told.getvalue())["best"]["run_id"]


@contextmanager
def _visited(port: str) -> Iterator[None]:
    """Someone visits the page of the block's demo meanwhile, and ends it."""
    with ThreadPoolExecutor(1) as others:
        visit = others.submit(_visit, f"http://127.0.0.1:{port}")
        yield
        visit.result()


def _visit(address: str) -> None:
    try:
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as browser:
            _wait_for_page(browser)
            _ask(browser)
    finally:
        os.kill(os.getpid(), signal.SIGINT)


def _wait_for_page(browser: httpx.Client) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            browser.get("/").raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise TimeoutError(f"expected the demo's page within {_PATIENCE} s")


def _ask(browser: httpx.Client) -> None:
    """As the page does when a picture is dropped on it."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(picture, "PNG")
    (path,) = browser.post("/gradio_api/upload", files={"files": ("white.png", picture.getvalue())}).json()
    data = [[{"path": path, "orig_name": "white.png", "meta": {"_type": "gradio.FileData"}}]]
    event = browser.post("/gradio_api/call/answer", json={"data": data}).json()["event_id"]
    answer = browser.get(f"/gradio_api/call/answer/{event}").text
    if "event: complete" not in answer:
        raise RuntimeError(f"expected the demo to answer; received {answer[:200]}")


if __name__ == "__main__":
    main()
