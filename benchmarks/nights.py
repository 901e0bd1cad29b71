"""What runs a schedule: Prefect's server and a worker, in a home of their own, for a time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.servers import Server, free_port, is_healthy

_CODE = Path(__file__).resolve().parents[1]
_FOREIGN = ("DARKROOM_", "MLFLOW_", "PREFECT_")
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_PATIENCE = 1_200  # seconds for a run


@dataclass(frozen=True)
class Night:
    """A deployment on a server with a worker.

    Attributes:
        server, worker: running.
        deployment_id: of the experiment, which no schedule starts meanwhile.
    """

    server: Server
    worker: Server
    deployment_id: str

    def run(self) -> dict[str, Any]:
        """Ask for a run, and wait for its end; the flow run as Prefect tells it.

        Raises:
            TimeoutError: it does not end within twenty minutes.
        """
        asked = httpx.post(f"{self.server.url}/deployments/{self.deployment_id}/create_flow_run", json={}, timeout=60)
        address = f"{self.server.url}/flow_runs/{asked.raise_for_status().json()['id']}"
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            found: dict[str, Any] = httpx.get(address, timeout=60).raise_for_status().json()
            if found["state_type"] in _FINAL:
                return found
            time.sleep(0.1)
        raise TimeoutError(f"expected {address} to end within {_PATIENCE} s; its state is {found['state_name']}")


def own_environment(home: Path, **more: str) -> dict[str, str]:
    """This process's, with another home and nothing else of the three that the user may have set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # What Prefect and MLflow start by themselves does not know of the defaults that flows set.
    quiet = {"DO_NOT_TRACK": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**kept, "DARKROOM_HOME": str(home), "PATH": path, "PYTHONPATH": str(_CODE), **quiet, **more}


@contextmanager
def night(experiment: str, home: Path) -> Iterator[Night]:
    """All that a nightly run needs, as the README starts it."""
    home.mkdir(parents=True)
    url = f"http://127.0.0.1:{(port := free_port())}/api"
    own = own_environment(
        home, PREFECT_API_URL=url, PREFECT_HOME=str(home / "prefect"), PREFECT_WORKER_QUERY_SECONDS="1"
    )
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    server = Server(command, url, lambda: is_healthy(f"{url}/health"), home / "server.log", own)
    words = [sys.executable, "-m", "flows.cli"]
    worker = Server([*words, "worker"], url, lambda: _has_worker(url), home / "worker.log", own)
    try:
        server.start()
        server.wait()
        told = _answer([*words, "schedule", experiment, "--cron", "0 0 1 1 *", "--json"], own)
        worker.start()
        worker.wait()
        yield Night(server, worker, told["deployment_id"])
    finally:
        worker.stop()
        server.stop()


def _has_worker(url: str) -> bool:
    found = httpx.post(f"{url}/work_pools/darkroom/workers/filter", json={}, timeout=10)
    return found.is_success and any(worker["status"] == "ONLINE" for worker in found.json())


def _answer(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
