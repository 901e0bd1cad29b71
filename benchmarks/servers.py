"""Servers of a benchmark: programs that are started, asked whether they answer, stopped and started again."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


class Server:
    """A program that is started, stopped and started again, in a process group of its own.

    Attributes:
        url: of it.
        asked: whether it answers.
    """

    def __init__(
        self,
        command: list[str],
        url: str,
        asked: Callable[[], bool],
        log: Path,
        environment: Mapping[str, str],
        user: str | None = None,
    ) -> None:
        self.url, self.asked, self._command, self._log, self._user = url, asked, command, log, user
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the program, which was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns at once; `wait` until it answers."""
        unprivileged: dict[str, Any] = {"user": self._user, "extra_groups": []} if self._user else {}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                start_new_session=True,
                **unprivileged,
            )

    def wait(self, seconds: float = 120) -> None:
        """Until it answers.

        Raises:
            RuntimeError: it does not, or has ended; with the last lines of its log.
        """
        deadline = time.monotonic() + seconds
        while not self.asked():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = self._log.read_text(errors="replace")[-3_000:]
                raise RuntimeError(f"{self.url}: expected an answer within {seconds:g} s; its log ends: {lines}")
            time.sleep(0.1)

    def stop(self, sent: signal.Signals = signal.SIGINT, seconds: float = 20) -> None:
        """As an administrator stops it; what has not ended by then is killed."""
        if self._process is None:
            return
        for one in (sent, signal.SIGKILL):
            with suppress(ProcessLookupError):
                (os.kill if one is signal.SIGINT else os.killpg)(self._process.pid, one)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self._process = None

    def kill(self, with_children: bool) -> None:
        """kill -9 of the program alone, or of all that it has started as well."""
        assert self._process is not None
        below = psutil.Process(self._process.pid).children(recursive=True) if with_children else []
        self._process.kill()
        self._process.wait()
        self._process = None
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(below)
