"""Promotions in processes of their own: two at once, and killed before any of their writes; prints what came of each.

    python promoting.py HOME FOLDER --races 50 --kills all

HOME has MLflow's database and nothing in it; FOLDER takes a copy of it for each scenario. This process only imports,
so that it can be forked: connections to a database do not survive that.
"""

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from pipeline_config.experiment import Promotion
from pipeline_config.settings import configure_environment
from tasks import predictions, tracking
from tasks.evaluate.metrics import test_metrics
from tasks.promote.promotion import propose
from tasks.promote.proposal import Proposal
from tasks.records import EvaluatedModel
from tasks.tracking import RunTags

NAME, ROWS = "experiment", 200
TAGS = RunTags(NAME, "c" * 64, "a flow", data_digest="d" * 64, test_digest="t" * 64)
GATES = Promotion(thresholds={"test_accuracy": 0.6}, servable=False, sound_data=False)
WRITES = (
    "create_run",
    "log_text",
    "log_artifact",
    "log_artifacts",
    "set_tag",
    "set_terminated",
    "create_model_version",
    "set_model_version_tag",
    "update_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)
IMPORTED = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
IMPORTED += ("pyarrow.parquet", "scipy.stats", "sklearn.metrics", "filelock")


def main() -> None:
    """The candidates are logged once; every scenario has a copy of the database."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("home", type=Path)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--races", type=int)
    arguments.add_argument("--kills", help="so many, spread over the writes; or all")
    asked = arguments.parse_args()
    configure_environment()
    for module in IMPORTED:
        importlib.import_module(module)
    base, folder = asked.home, asked.folder
    ended(started(base, prepare))
    writes = json.loads(ended(started(copied(base, folder / "counted"), count_writes)))
    kills = writes if asked.kills == "all" else int(asked.kills)
    chosen = sorted({round(at) for at in np.linspace(1, writes, kills)})
    races = [race(copied(base, folder / f"race{number}")) for number in range(asked.races)]
    killed = {at: kill(copied(base, folder / f"kill{at}"), at) for at in chosen}
    print(json.dumps({"writes": writes, "races": races, "kills": killed}))


def prepare() -> None:
    """A champion, and two candidates of which each is better than the one before it."""
    champion = log("champion", wrong=40)
    promote(champion)
    Path(os.environ["DARKROOM_HOME"], "candidates").mkdir()
    for name, wrong in (("better", 20), ("best", 0)):
        candidate = log(name, wrong)
        told = {**vars(candidate), "predictions": str(candidate.predictions)}
        Path(os.environ["DARKROOM_HOME"], "candidates", name).write_text(json.dumps(told))


def log(name: str, wrong: int) -> EvaluatedModel:
    """A model that has all test rows right but the first `wrong`."""
    labels = np.arange(ROWS) % 2
    said = np.where(np.arange(ROWS) < wrong, 1 - labels, labels)
    table = predictions.make_table([f"{row:064}" for row in range(ROWS)], labels, np.eye(2)[said], ("cat", "dog"))
    folder = Path(os.environ["DARKROOM_HOME"]) / name
    predictions.write(table, folder / "predictions.parquet")
    client = mlflow.MlflowClient()
    with tracking.run("train", name, TAGS) as run_id:
        tracking.log_files(run_id, folder, "evaluation")
        logged = client.create_logged_model(client.get_run(run_id).info.experiment_id, source_run_id=run_id)
    metrics = {"chosen_val_accuracy": 0.9, "chosen_val_loss": 0.1, "fit_seconds": 1.0, **test_metrics(table)}
    where = folder / "predictions.parquet"
    return EvaluatedModel(name, "svm", run_id, logged.model_id, logged.model_uri, where, "t" * 64, metrics)


def promote(model: EvaluatedModel) -> None:
    with tracking.run("pipeline", f"pipeline of {model.name}", TAGS) as run_id:
        propose(Proposal(model, GATES, TAGS, run_id))


def candidate(name: str) -> EvaluatedModel:
    told = json.loads(Path(os.environ["DARKROOM_HOME"], "candidates", name).read_text())
    return EvaluatedModel(**{**told, "predictions": Path(told["predictions"])})


def count_writes() -> int:
    """Of the promotion of a better model."""
    count = counted(lambda _: None)
    propose(Proposal(candidate("better"), GATES, TAGS, None))
    return count()


def counted(before: Callable[[int], None]) -> Callable[[], int]:
    """`before(number)` is called before every write to MLflow, numbered from 1; the answer: how many there were."""
    numbers: list[int] = []

    def wrap(method: Any) -> Any:
        def write(*arguments: Any, **named: Any) -> Any:
            numbers.append(len(numbers) + 1)
            before(numbers[-1])
            return method(*arguments, **named)

        return write

    for name in WRITES:
        setattr(mlflow.MlflowClient, name, wrap(getattr(mlflow.MlflowClient, name)))
    return lambda: len(numbers)


def race(home: Path) -> Any:
    """Two candidates are proposed at once; what the registry then says."""
    both = [started(home, lambda name=name: promote(candidate(name))) for name in ("better", "best")]
    for one in both:
        ended(one)
    return json.loads(ended(started(home, tell)))


def kill(home: Path, at: int) -> Any:
    """A promotion that is killed before its write of that number; the registry then, and after `reconcile`."""

    def promote_and_die() -> None:
        counted(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == at else None)
        propose(Proposal(candidate("better"), GATES, TAGS, None))

    ended(started(home, promote_and_die), -signal.SIGKILL)
    return json.loads(ended(started(home, reconcile)))


def reconcile() -> Any:
    before = tracking.aliases(NAME)
    with tracking.registry_held(NAME):
        done, again = tracking.reconcile(NAME), tracking.reconcile(NAME)
    return {"before": before, "after": tell(), "done": done, "again": again}


def tell() -> Any:
    """Aliases, the audit trail, and the decision that each version carries."""
    client = mlflow.MlflowClient()
    versions = client.search_model_versions(f"name = '{NAME}'")
    runs = client.search_runs([client.get_experiment_by_name(NAME).experiment_id], "attributes.status = 'RUNNING'")
    return {
        "aliases": tracking.aliases(NAME),
        "history": [vars(entry) for entry in tracking.history(NAME)],
        "models": {int(version.version): version.tags["darkroom.model"] for version in versions},
        "decisions": {int(version.version): version.tags.get("darkroom.decision") for version in versions},
        "cards": {int(version.version): version.description for version in versions},
        "running": [run.info.run_name for run in runs if run.data.tags["darkroom.kind"] == "promotion"],
    }


def copied(base: Path, home: Path) -> Path:
    """Its artifacts stay where they are: the database names them by their whole paths."""
    return Path(shutil.copytree(base, home, ignore=shutil.ignore_patterns("artifacts", "prefect")))


def started(home: Path, work: Callable[[], Any]) -> tuple[int, int]:
    """A process of its own at some work; its id, and a pipe with its answer as JSON."""
    reading, writing = os.pipe()
    assert threading.active_count() == 1
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    os.environ["DARKROOM_HOME"] = str(home)
    tracking.open_store()
    (home / "cache").mkdir(exist_ok=True)
    answer = work()
    os.write(writing, json.dumps(answer).encode())
    os._exit(0)


def ended(process: tuple[int, int], code: int = 0) -> str:
    with os.fdopen(process[1]) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(process[0], 0)
    assert os.waitstatus_to_exitcode(status) == code, f"expected exit code {code}; received {status}"
    return answer


if __name__ == "__main__":
    sys.exit(main())
