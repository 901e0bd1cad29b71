"""One experiment through every entrance: the command, `mlflow run`, a call from Python, a Prefect deployment.

    python -m benchmarks.entrances [EXPERIMENT]

Each has a home of its own. For one seed all must log the same runs with the same parameters and the same metrics, but
for those of time and memory. Prints what differs, and exits with 1 where anything does.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CODE = Path(__file__).resolve().parents[1]
_NOT_OF_THE_MODEL = ("seconds", "images_per_second", "predict_ms", "memory", "model_bytes")
_CALL = """
from flows.pipeline import pipeline

pipeline({!r})
"""
_PATIENCE = 900


def main() -> int:
    """Run it through all of them; returns the exit code."""
    experiment = sys.argv[1] if len(sys.argv) > 1 else "digits"
    folder = Path(tempfile.mkdtemp(prefix="darkroom-entrances-"))
    entrances = {
        "darkroom run": [sys.executable, "-m", "flows.cli", "run", experiment],
        "mlflow run": [
            *(sys.executable, "-m", "mlflow", "run", str(_CODE), "-e", "main", "-P", f"experiment={experiment}"),
            *("--env-manager", "local"),
        ],
        "Python": [sys.executable, "-c", _CALL.format(experiment)],
    }
    logged = {}
    for name, command in entrances.items():
        _run(command, _environment(folder / name))
        logged[name] = _logged(folder / name)
    (folder / "deployment").mkdir()
    _run_deployment(experiment, folder / "deployment")
    logged["deployment"] = _logged(folder / "deployment")
    return _compare(logged)


def _environment(home: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"DARKROOM_HOME": str(home), "PATH": path, "PYTHONPATH": str(_CODE)}
    quiet = {"DO_NOT_TRACK": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**kept, **own, **quiet, **more}


def _run(command: list[str], environment: dict[str, str]) -> None:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
    print(f"{' '.join(command[:4])}: {time.perf_counter() - started:.0f} s", flush=True)


def _run_deployment(experiment: str, home: Path) -> None:
    """By a server, a pool and a worker of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = _environment(
        home, PREFECT_API_URL=url, PREFECT_HOME=str(home / "prefect"), PREFECT_WORKER_QUERY_SECONDS="1"
    )
    with _started([*_python("prefect"), "server", "start", "--port", str(port), "--no-ui"], environment):
        _wait_for_server(url)
        _run([*_python("flows.cli"), "schedule", experiment, "--cron", "0 0 1 1 *"], environment)
        with _started([*_python("flows.cli"), "worker"], environment):
            _run(
                [*_python("prefect"), "deployment", "run", "--watch", f"scheduled/{_name_of(experiment)}"], environment
            )


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _name_of(experiment: str) -> str:
    from pipeline_config.loading import load_experiment

    return load_experiment(experiment).name


def _wait_for_server(url: str) -> None:
    import httpx

    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"no server at {url}")


@contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _logged(home: Path) -> dict[str, Any]:
    """Kind and name of each run -> its status, and of a train run params and metrics."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return {f"{run.data.tags['darkroom.kind']} {run.info.run_name}": _told(run) for run in found}


def _told(run: Any) -> dict[str, Any]:
    metrics = {
        key: value for key, value in run.data.metrics.items() if not any(word in key for word in _NOT_OF_THE_MODEL)
    }
    return {"status": run.info.status, **run.data.params, **metrics}


def _compare(logged: dict[str, dict[str, Any]]) -> int:
    (first, expected), *others = logged.items()
    unlike = [
        f"{name}: {run}: {key}: {found.get(run, {}).get(key)}; {first}: {expected.get(run, {}).get(key)}"
        for name, found in others
        for run in sorted({*expected, *found})
        for key in sorted({*expected.get(run, {}), *found.get(run, {})})
        if expected.get(run, {}).get(key) != found.get(run, {}).get(key)
    ]
    values = sum(map(len, expected.values()))
    print("\n".join(unlike) or f"{len(logged)} entrances, {len(expected)} runs, {values} values each: all alike")
    return bool(unlike)


if __name__ == "__main__":
    raise SystemExit(main())
