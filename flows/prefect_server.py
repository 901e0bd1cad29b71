"""Prefect's temporary server: out of reach of the terminal's Ctrl-C, and gone when this process is, however it ends.

Prefect has a class for such a server. That one is reached by Ctrl-C, stays behind after kill -9, and its module is the
whole server's, which takes seconds to import.
"""

import atexit
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_config.errors import DarkroomError

_SECONDS_TO_START = 120  # it takes three on a quiet machine; a busy one is no reason to fail
_SECONDS_TO_END = 5
_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class TemporaryServer:
    """One server, in a process of its own, for this process and those that it starts."""

    def __init__(self) -> None:
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As `PREFECT_API_URL` takes it."""
        return f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        """Start it, and wait for nothing. Prefect, which is told of it by the environment, must not be imported yet."""
        os.environ["PREFECT_API_URL"] = os.environ["DARKROOM_TEMPORARY_SERVER"] = self.url
        command = [sys.executable, "-m", "flows.temporary_server", str(self._port)]
        environment = {**os.environ, **_ENVIRONMENT}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
        atexit.register(self.stop)

    def wait(self) -> None:
        """Until it answers.

        Raises:
            DarkroomError: it has ended, or does not answer for two minutes.
        """
        assert self._process
        deadline = time.monotonic() + _SECONDS_TO_START
        while not is_healthy(f"{self.url}/health"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DarkroomError(
                    f"Prefect's temporary server: expected an answer at {self.url}; received none, its process "
                    f"{'runs' if self._process.poll() is None else 'has ended'}; start one with `prefect server start` "
                    "and name it with PREFECT_API_URL"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, by force if need be."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()


@contextmanager
def without_heartbeats() -> Iterator[None]:
    """Flows within it do not tell the server that they live.

    Nobody hears it at a temporary server, and every flow waits up to a second at its end for the thread that tells.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def is_healthy(url: str) -> bool:
    """Whether a page answers with 200, asked once."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port of loopback that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
