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
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.servers import Server
from flows.prefect_server import free_port, is_healthy
from flows.schedule import POOL

_CODE = Path(__file__).resolve().parents[1]
_FOREIGN = ("DARKROOM_", "MLFLOW_", "PREFECT_")
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
    deployment_id: UUID

    def ask(self) -> UUID:
        """Ask for a run; its id."""
        with self._client() as client:
            return client.create_flow_run_from_deployment(self.deployment_id).id

    def ended(self, run: UUID) -> State | None:
        """The state that a run has ended in; None before."""
        with self._client() as client:
            state = client.read_flow_run(run).state
        return state if state and state.is_final() else None

    def wait(self, run: UUID) -> FlowRun:
        """Until a run has ended.

        Raises:
            TimeoutError: it does not end within twenty minutes.
        """
        deadline = time.monotonic() + _PATIENCE
        with self._client() as client:
            while True:
                found = client.read_flow_run(run)
                if found.state and found.state.is_final():
                    return found
                if time.monotonic() > deadline:
                    raise TimeoutError(f"expected run {run} to end within {_PATIENCE} s; received {found.state}")
                time.sleep(0.1)

    @contextmanager
    def _client(self) -> Iterator[SyncPrefectClient]:
        """Prefect's own, which asks again when the server is busy."""
        with temporary_settings({PREFECT_API_URL: self.server.url}), get_client(sync_client=True) as client:
            yield client


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
        yield Night(server, worker, UUID(told["deployment_id"]))
    finally:
        worker.stop()
        server.stop()


def _has_worker(url: str) -> bool:
    found = httpx.post(f"{url}/work_pools/{POOL}/workers/filter", json={}, timeout=10)
    return found.is_success and any(worker["status"] == "ONLINE" for worker in found.json())


def _answer(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
