"""The same experiment by every runner, each in a home of its own: are the tables of predictions the same?

    python -m benchmarks.runners
    python -m benchmarks.runners --experiment digits --set train.epochs=2

The local run trains one model after the other. Threads are one in all of them unless --set says otherwise: sums of
floats in another order are other floats.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_RUNNERS = {
    "local": [],
    "processes": ["execution.workers=2"],
    "dask": ["execution.runner=dask", "execution.workers=2"],
    "ray": ["execution.runner=ray", "execution.workers=2"],
}


def main() -> None:
    """Print a line a runner, and one JSON line; the exit code is 1 where a table differs from that of the local run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--runner", action="append", choices=list(_RUNNERS)[1:], help="default: each")
    parser.add_argument("--set", dest="set_", action="append", default=[], help="dotted.key=value")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-runners-") as folder:
        found = {
            name: _run(asked.experiment, [*_RUNNERS[name], *asked.set_], Path(folder, name))
            for name in ("local", *(asked.runner or list(_RUNNERS)[1:]))
        }
    local = found["local"]["tables"]
    rows = {name: {"seconds": run["seconds"], **_compare(local, run["tables"])} for name, run in found.items()}
    for name, row in rows.items():
        print(f"{name}: {row}", file=sys.stderr)
    print(json.dumps(rows))
    sys.exit(any(row["largest_difference"] for row in rows.values()))


def _run(experiment: str, values: list[str], home: Path) -> dict[str, Any]:
    words = [word for value in ("execution.compute.threads=1", *values) for word in ("--set", value)]
    command = [sys.executable, "-m", "flows.cli", "run", experiment, *words, "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "DARKROOM_HOME": str(home)}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-500:]} {done.stderr[-2_000:]}")
    models = json.loads(done.stdout)["models"]
    tables = {model["name"]: _table(home, model["run_id"]) for model in models}
    return {"seconds": round(time.perf_counter() - started, 1), "tables": tables}


def _table(home: Path, run_id: str) -> pd.DataFrame:
    (path,) = (home / "artifacts").rglob(f"{run_id}/artifacts/evaluation/predictions.parquet")
    return pd.read_parquet(path)


def _compare(expected: dict[str, pd.DataFrame], found: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The largest difference of a probability; infinite where other images or models are in the tables."""
    if expected.keys() != found.keys():
        return {"models": sorted(found), "largest_difference": float("inf")}
    return {"largest_difference": max(_difference(table, found[name]) for name, table in expected.items())}


def _difference(one: pd.DataFrame, other: pd.DataFrame) -> float:
    columns = list(one.select_dtypes("floating"))
    rest = one.columns.difference(columns)
    if list(one) != list(other) or not one[rest].equals(other[rest]):
        return float("inf")
    return float(np.abs(one[columns].to_numpy() - other[columns].to_numpy()).max())


if __name__ == "__main__":
    main()
