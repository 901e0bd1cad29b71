"""`mlflow run`: the project as MLflow sees it, without a word of the `darkroom` command."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.soak
TINY = {
    "name": "tiny_digits",
    "dataset": {"source": "digits", "images_per_class": 60},
    "models": [{"name": "svm", "family": "linear_svm"}],
    "train": {"epochs": 1},
    "promotion": {"thresholds": {"test_accuracy": 0.9}, "servable": False},
}


FILES = {"MLproject", "python_env.yaml", "tiny.yaml"}


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, darkroom: Any, new_home: Callable[[Path], Path], repository: Path
) -> SimpleNamespace:
    """The entry point main of a copy of the project, run from another folder, in which MLflow has a database already.

    The copy has the files that MLflow reads; the code is the installed one.
    """
    folder = tmp_path_factory.mktemp("mlflow_run")
    home, project = new_home(folder / "home"), copy_project(repository, folder / "project")
    command = [sys.executable, "-m", "mlflow", "run", str(project), "-e", "main"]
    command += ["-P", f"experiment={project / 'tiny.yaml'}", "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with darkroom.start_other(command, home=home, cwd=new_home(folder / "elsewhere"), PATH=path) as running:
        return SimpleNamespace(finished=running.wait(300), home=home, project=project)


def copy_project(repository: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("MLproject", "python_env.yaml"):
        shutil.copy(repository / name, folder / name)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    return folder


def runs(database: Path) -> dict[str, tuple[str, str | None]]:
    """Name of each run -> status and kind, of the pipeline's experiment."""
    statement = (
        "SELECT runs.name, runs.status, tags.value FROM runs JOIN experiments USING (experiment_id) "
        "LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'darkroom.kind' WHERE experiments.name = ?"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {name: (status, kind) for name, status, kind in connection.execute(statement, ("tiny_digits",))}


EXPECTED = {
    "pipeline tiny_digits": ("FINISHED", "pipeline"),
    "svm": ("FINISHED", "train"),
    "promote svm": ("FINISHED", "promotion"),
}


def test_mlflow_run_ends_well_and_leaves_nothing_running(done):
    assert done.finished.code == 0, done.finished.stderr
    assert done.finished.left == ()
    assert "Traceback" not in done.finished.stderr


def test_mlflow_run_logs_into_the_home_as_the_command_does(done):
    """Not into the database of the folder that it is called from, which `mlflow run` hands on as its own."""
    assert runs(done.home / "mlflow.db") == EXPECTED
    assert len(list(done.home.glob("artifacts/*/artifacts/evaluation/predictions.parquet"))) == 1


def test_mlflow_run_writes_nothing_into_the_project(done):
    assert {path.name for path in done.project.iterdir()} == FILES
