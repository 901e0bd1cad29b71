"""kill -9 at random moments of a pipeline, and the same command again: what came of it, against an undisturbed run.

    make chaos
    make chaos ARGS='--kills 5 --seed 3 --set train.epochs=4'

Every kill has a home of its own. A second start has to end as the undisturbed run did: the same champion, the same
metrics, nothing RUNNING in MLflow or Prefect, no model that was finished trained again, no process left.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from tasks.progress import track

_SECONDS_TO_END = 60  # for children of a killed command
_OPEN = ("RUNNING", "PENDING", "SCHEDULED")
_ALIKE = 1e-6  # of a metric: sums of floats in another order


@dataclass(frozen=True)
class Outcome:
    """What a home holds when a command has ended.

    Attributes:
        champion: name of the champion's model, or None.
        metrics: by model, those of the test and validation images.
        trained: run ids of the finished train runs by model.
        open_runs: runs that are RUNNING in MLflow, and flow runs in Prefect that have not ended.
    """

    champion: str | None
    metrics: dict[str, dict[str, float]]
    trained: dict[str, list[str]]
    open_runs: list[str]


@dataclass
class Kill:
    """One kill, and what the next start came to.

    Attributes:
        at: seconds after `since`.
        since: `start` of the command, most of which is imports, or `pipeline`: the moment at which its run is there.
        stage: the last thing that MLflow knew of by then.
        finished: models whose training had ended.
        ended: the pipeline had come to its end before.
        problems: sentences; empty where all is as it has to be.
        seconds: of the second start.
    """

    at: float
    since: str
    stage: str = ""
    finished: list[str] = field(default_factory=list)
    ended: bool = False
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> None:
    """Print a table with a row a kill, and one JSON line; the exit code is 1 where anything was not as it has to be."""
    asked = _arguments().parse_args()
    words = ["run", asked.experiment, *(word for value in asked.set_ for word in ("--set", value)), "--json"]
    with tempfile.TemporaryDirectory(prefix="darkroom-chaos-") as folder:
        started = time.perf_counter()
        home = Path(folder, "undisturbed")
        _finish(words, home)
        duration, expected = time.perf_counter() - started, outcome(home)
        kills = _moments(asked.kills, asked.seed, duration, _seconds_of_pipeline(home))
        for number, kill in enumerate(track(kills, "kill and go on", len(kills))):
            _kill_and_go_on(words, Path(folder, f"killed{number}"), kill, expected)
    _show(kills, duration)
    print(json.dumps({"undisturbed_seconds": duration, "seed": asked.seed, "kills": [asdict(kill) for kill in kills]}))
    sys.exit(any(kill.problems for kill in kills))


def _moments(count: int, seed: int, command: float, pipeline: float) -> list[Kill]:
    """Every fourth within the whole command, the others within its pipeline."""
    draw = random.Random(seed)
    return [
        Kill(draw.uniform(0, command), "start") if number % 4 == 0 else Kill(draw.uniform(0, pipeline), "pipeline")
        for number in range(count)
    ]


def _seconds_of_pipeline(home: Path) -> float:
    ((milliseconds,),) = _query(home / "mlflow.db", _DURATION)
    return float(milliseconds) / 1_000


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="set_", action="append", default=[], help="dotted.key=value")
    return parser


@contextmanager
def _started(words: list[str], home: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "flows.cli", *words]
    environment = {**os.environ, "DARKROOM_HOME": str(home)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process


def _finish(words: list[str], home: Path) -> None:
    with _started(words, home) as process:
        out, err = process.communicate()
    if process.returncode:
        sys.exit(f"the command ended with {process.returncode}: {out[-500:]} {err[-2_000:]}")


def _kill_and_go_on(words: list[str], home: Path, kill: Kill, expected: Outcome) -> None:
    """A pipeline that had ended when its process was killed is only reconciled; the command would begin another."""
    with _started(words, home) as process:
        while kill.since == "pipeline" and not _query(home / "mlflow.db", _LATEST) and process.poll() is None:
            time.sleep(0.02)
        below = _wait(process, kill.at)
        process.send_signal(signal.SIGKILL)
    kill.ended = bool(_query(home / "mlflow.db", _DURATION))
    _, alive = psutil.wait_procs(below, timeout=_SECONDS_TO_END)
    kill.problems += [f"process left: {' '.join(one.cmdline())[:80]}" for one in alive if one.is_running()]
    before = outcome(home)
    kill.finished, kill.stage = sorted(before.trained), _latest(home)
    started = time.perf_counter()
    try:
        _finish(["reconcile", "--json"] if kill.ended else words, home)
    except SystemExit as error:
        kill.problems.append(str(error))
    kill.seconds = time.perf_counter() - started
    kill.problems += compare(before, outcome(home), expected)


def _wait(process: "subprocess.Popen[str]", seconds: float) -> list[psutil.Process]:
    """Until that time has gone by, or the command has ended; the processes below it then."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return psutil.Process(process.pid).children(recursive=True)
    return []


def compare(before: Outcome, after: Outcome, expected: Outcome) -> Iterator[str]:
    """What a home holds after the second start and should not, or the other way round; a sentence each."""
    if after.champion != expected.champion:
        yield f"champion {after.champion} instead of {expected.champion}"
    for name, metrics in expected.metrics.items():
        found = after.metrics.get(name, {})
        other = [key for key, value in metrics.items() if not abs(found.get(key, float("nan")) - value) <= _ALIKE]
        if other:
            yield f"{name}: {other[0]} is {found.get(other[0])} instead of {metrics[other[0]]}"
    for name, runs in after.trained.items():
        if len(runs) != 1:
            yield f"{name} was trained {len(runs)} times to the end"
        if name in before.trained and not set(before.trained[name]) <= set(runs):
            yield f"{name} was finished, and trained again"
    yield from (f"still open: {run}" for run in after.open_runs)


def outcome(home: Path) -> Outcome:
    """What a home holds."""
    trained: dict[str, list[str]] = {}
    metrics: dict[str, dict[str, float]] = {}
    for run_id, name in _query(home / "mlflow.db", _FINISHED):
        trained.setdefault(name, []).append(run_id)
        metrics[name] = dict(_query(home / "mlflow.db", _METRICS, run_id))
    champion = _query(home / "mlflow.db", _CHAMPION)
    open_runs = [f"MLflow {name}" for (name,) in _query(home / "mlflow.db", _RUNNING)]
    open_runs += [f"Prefect {name}" for (name,) in _query(home / "prefect" / "prefect.db", _FLOWS_RUNNING)]
    return Outcome(champion[0][0] if champion else None, metrics, trained, open_runs)


_FINISHED = """SELECT runs.run_uuid, runs.name FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
 WHERE tags.key = 'darkroom.kind' AND tags.value = 'train' AND runs.status = 'FINISHED'"""
_METRICS = """SELECT key, value FROM latest_metrics WHERE run_uuid = ? AND (key LIKE 'test_%' OR key LIKE 'chosen_%')"""
_CHAMPION = """SELECT runs.name FROM registered_model_aliases AS alias
 JOIN model_versions AS version ON version.name = alias.name AND version.version = alias.version
 JOIN runs ON runs.run_uuid = version.run_id WHERE alias.alias = 'champion'"""
_DURATION = "SELECT end_time - start_time FROM runs WHERE name LIKE 'pipeline %' AND status = 'FINISHED'"
_RUNNING = "SELECT name FROM runs WHERE status = 'RUNNING'"
_FLOWS_RUNNING = f"SELECT name FROM flow_run WHERE state_type IN {_OPEN}"
_LATEST = "SELECT name, status FROM runs ORDER BY start_time DESC LIMIT 1"


def _latest(home: Path) -> str:
    found = _query(home / "mlflow.db", _LATEST)
    return " ".join(found[0]) if found else "before any run"


def _query(database: Path, statement: str, *values: str) -> list[Any]:
    """Rows; none while there is no such file or table."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.OperationalError:
        return []


def _show(kills: list[Kill], duration: float) -> None:
    good = sum(not kill.problems for kill in kills)
    title = f"{good} of {len(kills)} kills made good; undisturbed: {duration:.1f} s"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("killed at", "MLflow's latest run", "models finished", "next start", "problems"):
        table.add_column(heading, overflow="fold")
    for kill in kills:
        told = "; ".join(kill.problems) or "none"
        table.add_row(
            f"{kill.since} + {kill.at:.1f} s", kill.stage, ", ".join(kill.finished), f"{kill.seconds:.1f} s", told
        )
    Console(stderr=True, width=160).print(table)


if __name__ == "__main__":
    main()
