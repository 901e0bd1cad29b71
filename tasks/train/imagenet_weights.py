"""ImageNet weights of Keras's applications: taken from Keras's folder, or fetched into it without long waiting."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline_config.errors import Unreachable
from tasks.progress import say

_SECONDS = 5.0
"""That a server may be silent, while connecting or later; Keras itself would wait as long as the system does."""


@contextmanager
def fetched_or_told(backbone: str) -> Iterator[None]:
    """While an application is built: its weights are fetched where they are not there, and a failure is a sentence.

    The application alone knows its file's name, address and checksum, and hands them to Keras's `get_file`; that call
    is taken up on its way. A file that is there already is used without any network.

    Args:
        backbone: name of the application, for the sentence.

    Raises:
        Unreachable: the file is not there and cannot be fetched.
    """
    from keras.src.utils import file_utils

    def take_up(fname: str, origin: str, **arguments: Any) -> str:
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "models" / fname
        if not path.is_file():
            say(f"fetching the ImageNet weights of {backbone} from {origin}")
        with _quick_and_quiet(backbone, path, origin):
            return str(get_file(fname, origin, cache_dir=str(folder), **arguments))

    get_file: Callable[..., Any] = file_utils.get_file
    with mock.patch.object(file_utils, "get_file", take_up):
        yield


@contextmanager
def _quick_and_quiet(backbone: str, path: Path, origin: str) -> Iterator[None]:
    """Sockets time out, nothing is printed on stdout, and whatever Keras raises becomes a sentence."""
    import keras

    timeout, was_shown = socket.getdefaulttimeout(), keras.config.is_interactive_logging_enabled()
    socket.setdefaulttimeout(_SECONDS)
    keras.config.disable_interactive_logging()
    try:
        yield
    except Exception as error:  # Keras raises a bare one where the server cannot be reached
        reason = " ".join(str(error).split()).removeprefix(f"URL fetch failure on {origin}: None -- ")
        raise Unreachable(
            f"params.weights: the ImageNet weights of {backbone} are not in {path.parent} and cannot be fetched "
            f"({reason}); put the file {path.name} there, from {origin}, or set params.weights to the "
            "path of a file of weights"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
        if was_shown:
            keras.config.enable_interactive_logging()
