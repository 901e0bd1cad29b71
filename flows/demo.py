"""A page on which people try a model; nothing is logged, and no flow is needed."""

import importlib.util
import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import console
from tasks.serve.champion import Champion
from tasks.serve.demo import Demo
from tasks.serve.ready import open_ready
from tasks.serve.server import serve


def check_installed() -> None:
    """Whether Gradio is there.

    Raises:
        ConfigurationError: it is not.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ConfigurationError("expected the package gradio; it is not installed; pip install 'darkroom[demo]'")


def serve_demo(model: str | None, experiment: str | None, listening: socket.socket) -> dict[str, Any]:
    """Serve the page until Ctrl-C.

    Args:
        model, experiment: as of `tracking.find_model`; an alias is looked up again before every answer.
        listening: of `open_port`.

    Raises:
        ConfigurationError: there is no such model.
        DarkroomError: the model cannot be opened.
    """
    with TemporaryDirectory(dir=Settings().cache, prefix="demo-") as uploads:
        named = tracking.find_alias(model, experiment) or tracking.find_model(model, experiment)
        with console.status(f"opening {named}"):
            champion = Champion(lambda: tracking.find_model(named, None), open_ready)
            page = _make_page(Demo(champion, Settings().home / "feedback"), Path(uploads))
        host, port = listening.getsockname()[:2]
        address = f"[{host}]" if ":" in host else host
        print(f"Darkroom demo: http://{address}:{port} (Ctrl-C ends it)", flush=True)
        serve(page, listening)
    return {"status": "done"}


def _make_page(demo: Demo, uploads: Path) -> Any:
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # read when Gradio is imported and when a page is made
    from tasks.serve.page import make_page

    return make_page(demo)
