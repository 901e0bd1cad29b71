"""Scheduled runs that find nothing to do: how long each takes, and whether worker and server grow by them.

    make idle
    make idle ARGS='--runs 10 --experiment animals10.yaml'

The first run trains; nothing changes after it. Memory is the resident size of the worker's own process
and of the server's, read when a run has ended, without the process of the run.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import psutil
from prefect.client.schemas import FlowRun
from scipy.stats import theilslopes

from benchmarks.nights import Night, night
from benchmarks.report import Row, show
from tasks.progress import track


def main() -> None:
    """Print the table and one JSON line."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--experiment", default="digits")
    asked.add_argument("--runs", type=int, default=50, help="after the one that trains")
    options = asked.parse_args()
    if options.runs < 10:
        asked.error(f"--runs: expected 10 or more, to see memory grow; received {options.runs}")
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-idle-") as folder,
        night(options.experiment, Path(folder, "home")) as at,
    ):
        _run(at, "Completed")
        idle = [_idle_run(at) for _ in track(range(options.runs), "nothing to do", options.runs)]
    seconds, worker, server = np.array(idle).T
    rows = [Row("a run, from the request to its end", float(np.median(seconds)), "s")]
    rows.append(Row("the longest", float(seconds.max()), "s"))
    for name, sizes in (("worker", worker), ("server", server)):
        rows += _of_memory(name, sizes)
    show("idle", rows, f"{options.runs} runs of {options.experiment} with nothing to do")


def _run(at: Night, expected: str) -> FlowRun:
    found = at.wait(at.ask())
    if not found.state or found.state.name != expected:
        raise SystemExit(f"expected a run to end as {expected}; received {found.state}")
    return found


def _idle_run(at: Night) -> tuple[float, float, float]:
    """Seconds, and the worker's and the server's megabytes after it."""
    found = _run(at, "Nothing to do")
    assert found.end_time
    assert found.created
    took = (found.end_time - found.created).total_seconds()
    return took, _megabytes(at.worker.pid), _megabytes(*_tree(at.server.pid))


def _tree(pid: int) -> list[int]:
    """Prefect's server runs below the command that started it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _megabytes(*pids: int) -> float:
    return float(sum(psutil.Process(pid).memory_info().rss for pid in pids)) / 1e6


def _of_memory(name: str, sizes: np.ndarray) -> list[Row]:
    """After the first and the last runs, and the growth a run over the second half (Theil and Sen's slope)."""
    tenth = max(len(sizes) // 10, 1)
    first, last = float(np.median(sizes[:tenth])), float(np.median(sizes[-tenth:]))
    growth = float(theilslopes(sizes[len(sizes) // 2 :])[0])
    return [
        Row(f"{name} after the first {tenth}", first, "MB"),
        Row(f"{name} after the last {tenth}", last, "MB", last / first, "the first"),
        Row(f"{name}'s growth over the second half", growth, "MB a run"),
    ]


if __name__ == "__main__":
    main()
