"""A page on which people try a model; nothing is logged, and no flow is needed."""

import importlib.util
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import console, say
from tasks.serve.champion import Champion
from tasks.serve.demo import Demo
from tasks.serve.ready import open_ready
from tasks.serve.server import open_port


def check_installed() -> None:
    """Whether Gradio is there.

    Raises:
        ConfigurationError: it is not.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ConfigurationError("darkroom demo: expected the package gradio; not installed; pip install 'darkroom[demo]'")


def serve_demo(model: str | None, experiment: str | None, host: str, port: int) -> dict[str, Any]:
    """Serve the page until Ctrl-C.

    Args:
        model, experiment: as of `tracking.find_model`; an alias is looked up again before every answer.
        host, port: where it listens; port 0 for any that is free.

    Raises:
        ConfigurationError: there is no such model, or the port cannot be used.
        DarkroomError: the model cannot be opened.
    """
    with open_port(host, port) as listening, TemporaryDirectory(dir=Settings().cache, prefix="demo-") as uploads:
        named = tracking.find_alias(model, experiment) or tracking.find_model(model, experiment)
        with console.status(f"opening {named}"):
            champion = Champion(lambda: tracking.find_model(named, None), open_ready)
            page = _make_page(Demo(champion, Settings().home / "feedback"), Path(uploads))
        from tasks.serve.server import serve

        address = f"[{host}]" if ":" in host else host
        print(f"Darkroom demo: http://{address}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        serve(page, listening)
    return {"status": "done"}


def _make_page(demo: Demo, uploads: Path) -> Any:
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # read when Gradio is imported and when a page is made
    from tasks.serve.page import make_page

    return make_page(demo)
