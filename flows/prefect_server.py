"""Prefect's temporary server, out of reach of the terminal's Ctrl-C."""

import os
import subprocess
import sys
from typing import Any

import prefect
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

_SERVER = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class TemporaryServer(SubprocessASGIServer):
    """Takes the place of the instance that Prefect looks for, and ends with this process as that one does.

    Prefect 3.8 starts its server in our process group. Ctrl-C then ends both at once, and the flow waits for a minute
    for a server that is gone, instead of recording that it was interrupted.
    """

    def _run_uvicorn_command(self) -> "subprocess.Popen[Any]":
        application = [
            "--app-dir",
            str(prefect.__module_path__.parent),
            "--factory",
            "prefect.server.api.server:create_app",
        ]
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error", "--lifespan", "on"]
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *application, *address],
            env={**os.environ, **_SERVER, **settings},
            start_new_session=True,
        )
