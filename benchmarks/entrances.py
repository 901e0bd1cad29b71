"""One experiment through every entrance: the command, `mlflow run`, a call from Python, a Prefect deployment.

    python -m benchmarks.entrances [EXPERIMENT]

Each has a home of its own. For one seed all must log the same runs with the same parameters and the same metrics, but
for those of time and memory. Prints what differs, and exits with 1 where anything does.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.nights import night, own_environment

_CODE = Path(__file__).resolve().parents[1]
_NOT_OF_THE_MODEL = ("seconds", "images_per_second", "predict_ms", "memory", "model_bytes")
_CALL = """
from flows.pipeline import pipeline

pipeline({!r})
"""


def main() -> int:
    """Run it through all of them; returns the exit code."""
    experiment = sys.argv[1] if len(sys.argv) > 1 else "digits"
    entrances = {
        "darkroom run": [sys.executable, "-m", "flows.cli", "run", experiment],
        "mlflow run": [
            *(sys.executable, "-m", "mlflow", "run", str(_CODE), "-e", "main", "-P", f"experiment={experiment}"),
            *("--env-manager", "local"),
        ],
        "Python": [sys.executable, "-c", _CALL.format(experiment)],
    }
    with tempfile.TemporaryDirectory(prefix="darkroom-entrances-") as folder:
        for name, command in entrances.items():
            _run(command, own_environment(Path(folder, name)))
        _run_deployment(experiment, Path(folder, "deployment"))
        return _compare({name: _logged(Path(folder, name)) for name in (*entrances, "deployment")})


def _run(command: list[str], environment: dict[str, str]) -> None:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
    print(f"{' '.join(command[:4])}: {time.perf_counter() - started:.0f} s", flush=True)


def _run_deployment(experiment: str, home: Path) -> None:
    began = time.perf_counter()
    with night(experiment, home) as at:
        found = at.wait(at.ask())
    if not found.state or not found.state.is_completed():
        raise SystemExit(f"expected the deployment's run to complete; received {found.state}")
    print(f"deployment: {time.perf_counter() - began:.0f} s", flush=True)


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
