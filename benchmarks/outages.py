"""Servers that go away in mid-run: what came of it, against an undisturbed run on the same servers.

    make outages
    make outages ARGS='--seconds 6 --only tracking --set train.epochs=4'

MLflow and Prefect run on PostgreSQL and an S3-compatible store, as `deploy/compose.yaml` starts them. What goes away
comes back, and the run has to end as if nothing had happened. What goes away for good, MLflow's server or the store for
writes, ends the run with a sentence and code 5, and the same command again has to end well in the same pipeline run.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import backends
from benchmarks.servers import Server

_ALIKE = 1e-6  # of a metric: sums of floats in another order
_MINUTES = 20
_CODE_UNREACHABLE = 5


@dataclass
class Outcome:
    """What a run came to, by its own answer.

    Attributes:
        name: of the outage.
        code: exit code of the command.
        seconds: it took.
        answer: its line of JSON.
        stderr: what people would have seen.
        problems: sentences; empty where all is as it has to be.
    """

    name: str
    code: int
    seconds: float
    answer: dict[str, Any] = field(repr=False)
    stderr: str = field(default="", repr=False)
    problems: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """By model, those that follow from the images and not from the clock."""
        models = {model["name"]: model["metrics"] for model in self.answer.get("models", [])}
        return {name: {key: metrics[key] for key in filter(_of_images, metrics)} for name, metrics in models.items()}


def _of_images(metric: str) -> bool:
    return metric.startswith(("test_", "chosen_"))


Outage = Callable[[Mapping[str, Server], float], None]


def stop_tracking(servers: Mapping[str, Server], seconds: float) -> None:
    """MLflow's server is away for so many seconds."""
    _away(servers["mlflow"], signal.SIGTERM, seconds)


def restart_postgresql(servers: Mapping[str, Server], seconds: float) -> None:
    """PostgreSQL is stopped, which ends every connection, and started again."""
    _away(servers["postgres"], signal.SIGINT, seconds)


def refuse_one_write(servers: Mapping[str, Server], _: float) -> None:
    """The store of artifacts refuses the next upload, which takes no time."""
    backends.refuse(servers["store"], 1)


OUTAGES: dict[str, Outage] = {
    "tracking": stop_tracking,
    "postgresql": restart_postgresql,
    "store": refuse_one_write,
}


def _away(server: Server, sent: signal.Signals, seconds: float) -> None:
    server.stop(sent)
    time.sleep(seconds)
    server.start()
    server.wait()


@contextmanager
def started(words: list[str], home: Path, servers: Mapping[str, Server]) -> Iterator["subprocess.Popen[str]"]:
    """The command on the servers; killed at the end of the block if it still runs."""
    variables = {
        "DARKROOM_HOME": str(home),
        "MLFLOW_TRACKING_URI": servers["mlflow"].url,
        "PREFECT_API_URL": servers["prefect"].url,
    }
    command = [sys.executable, "-m", "flows.cli", *words, "--json"]
    with subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(
    name: str,
    words: list[str],
    home: Path,
    servers: Mapping[str, Server],
    *outages: Outage,
    seconds: float = 60.0,
) -> Outcome:
    """The command, with outages one after the other from the first epoch on."""
    began = time.perf_counter()
    with started(words, home, servers) as process:
        if outages:
            wait_for_training(process, home)
        for outage in outages:
            outage(servers, seconds)
        stdout, stderr = process.communicate(timeout=60 * _MINUTES)
    answer = json.loads(stdout.splitlines()[-1]) if stdout.strip() else {}
    return Outcome(name, process.returncode, time.perf_counter() - began, answer, stderr)


def wait_for_training(process: "subprocess.Popen[str]", home: Path) -> None:
    """Until a checkpoint is there, which the first epoch leaves; or the command has ended, which is a problem."""
    deadline = time.monotonic() + 60 * _MINUTES
    while not any((home / "cache" / "training").glob("*.npz")) and process.poll() is None:
        assert time.monotonic() < deadline, "expected a training to begin"
        time.sleep(0.02)


def compare(found: Outcome, expected: Outcome, tracking_uri: str) -> Iterator[str]:
    """What of a run is not as in an undisturbed one."""
    if found.code or found.answer.get("status") != expected.answer["status"]:
        yield f"ended with code {found.code}: {found.answer.get('error', found.stderr[-500:])}"
        return
    if found.answer["best"]["name"] != expected.answer["best"]["name"]:
        yield f"best model {found.answer['best']['name']} instead of {expected.answer['best']['name']}"
    for name, metrics in expected.metrics.items():
        values = found.metrics.get(name, {})
        other = [key for key, value in metrics.items() if not abs(values.get(key, float("nan")) - value) <= _ALIKE]
        if other:
            yield f"{name}: {other[0]} is {values.get(other[0])} instead of {metrics[other[0]]}"
    yield from open_runs(found, tracking_uri)


def open_runs(found: Outcome, tracking_uri: str) -> Iterator[str]:
    """Runs of the pipeline that are open, and models that were trained to the end twice."""
    runs = runs_below(found.answer["pipeline_run_id"], tracking_uri)
    yield from (f"run {name} is {status}" for name, status in runs if status == "RUNNING")
    names = [name for name, status in runs if status == "FINISHED"]
    yield from (f"{name} has {names.count(name)} finished runs" for name in sorted(set(names)) if names.count(name) > 1)


def runs_below(pipeline_run_id: str, tracking_uri: str) -> list[tuple[str, str]]:
    """Name and status of the pipeline's run and of all below it."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri)
    pipeline = client.get_run(pipeline_run_id)
    below = client.search_runs([pipeline.info.experiment_id], f"tags.`mlflow.parentRunId` = '{pipeline_run_id}'")
    return [(found.info.run_name, found.info.status) for found in (pipeline, *below)]


def end_and_go_on(
    name: str, words: list[str], home: Path, servers: Mapping[str, Server], expected: Outcome
) -> list[Outcome]:
    """What goes away in mid-run comes back only when the command has ended; then the same command again."""
    take_away, bring_back = FOR_GOOD[name]
    failed = run(name, words, home, servers, lambda on, _: take_away(on))
    bring_back(servers)
    if failed.code != _CODE_UNREACHABLE:
        failed.problems.append(f"expected code {_CODE_UNREACHABLE}; received {failed.code}: {failed.stderr[-300:]}")
    again = run("the same command again", words, home, servers)
    again.problems += compare(again, expected, servers["mlflow"].url)
    return [failed, again]


def _refuse_all(servers: Mapping[str, Server]) -> None:
    backends.refuse(servers["store"], 10**6)


def _refuse_none(servers: Mapping[str, Server]) -> None:
    backends.refuse(servers["store"], 0)


def _stop_tracking(servers: Mapping[str, Server]) -> None:
    servers["mlflow"].stop(signal.SIGTERM)


def _start_tracking(servers: Mapping[str, Server]) -> None:
    servers["mlflow"].start()
    servers["mlflow"].wait()


FOR_GOOD = {"store-for-good": (_refuse_all, _refuse_none), "tracking-for-good": (_stop_tracking, _start_tracking)}


def main() -> None:
    """Print a line a run, and one JSON line; the exit code is 1 where anything was not as it has to be."""
    asked = _arguments().parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    words = ["run", asked.experiment, *(word for value in asked.set_ for word in ("--set", value))]
    outcomes = []
    with ExitStack() as open_:
        folder = open_.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-outages-"))
        servers = open_.enter_context(backends.all_servers(Path(folder)))

        def told(outcome: Outcome) -> Outcome:
            print(f"{outcome.name}: {outcome.seconds:.0f} s, {'; '.join(outcome.problems) or 'good'}", file=sys.stderr)
            outcomes.append(outcome)
            return outcome

        expected = told(run("undisturbed", words, Path(folder, "undisturbed"), servers))
        assert expected.code == 0, expected.stderr
        for name in asked.only or [*OUTAGES, *FOR_GOOD]:
            if name in FOR_GOOD:
                for one in end_and_go_on(name, words, Path(folder, name), servers, expected):
                    told(one)
                continue
            found = run(name, words, Path(folder, name), servers, OUTAGES[name], seconds=asked.seconds)
            found.problems += compare(found, expected, servers["mlflow"].url)
            told(found)
    kept = [{key: value for key, value in asdict(one).items() if key not in {"answer", "stderr"}} for one in outcomes]
    print(json.dumps({"outage_seconds": asked.seconds, "runs": kept}))
    sys.exit(any(one.problems for one in outcomes))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--seconds", type=float, default=60.0, help="that a server is away")
    parser.add_argument("--only", action="append", choices=[*OUTAGES, *FOR_GOOD])
    parser.add_argument("--set", dest="set_", action="append", default=[], help="dotted.key=value")
    return parser


if __name__ == "__main__":
    main()
