"""`mlflow run`: the project as MLflow sees it, without a word of the `darkroom` command."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

TINY = {
    "name": "tiny_digits",
    "dataset": {"source": "digits", "images_per_class": 60},
    "models": [{"name": "svm", "family": "linear_svm"}],
    "train": {"epochs": 1},
    "promotion": {"thresholds": {"test_accuracy": 0.9}},
}


FILES = {"MLproject", "python_env.yaml", "tiny.yaml"}
HOW = ["from_the_project_s_folder", "from_elsewhere_with_the_home_s_database_named"]


@pytest.fixture(scope="module")
def mlflow_runs(
    tmp_path_factory: pytest.TempPathFactory, darkroom: Any, new_home: Callable[[Path], Path], repository: Path
) -> dict[str, SimpleNamespace]:
    """The entry point main, run side by side in two ways, each with a home and a copy of the project of its own.

    The copy has the files that MLflow reads; the code is the installed one. MLflow makes its own database in the folder
    from which it is called, or finds it there already.
    """
    with ExitStack() as started:
        running = {}
        for how in HOW:
            folder = tmp_path_factory.mktemp(how)
            home, project = new_home(folder / "home"), copy_project(repository, folder / "project")
            command = [sys.executable, "-m", "mlflow", "run", str(project), "-e", "main"]
            command += ["-P", f"experiment={project / 'tiny.yaml'}", "--env-manager", "local"]
            variables = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
            cwd = project
            if how != "from_the_project_s_folder":
                variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{home}/mlflow.db"
                cwd = new_home(folder / "elsewhere")
            running[how] = started.enter_context(darkroom.start_other(command, home=home, cwd=cwd, **variables))
        return {
            how: SimpleNamespace(finished=one.wait(300), home=one.home, project=one.home.with_name("project"))
            for how, one in running.items()
        }


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


EXPECTED = {"pipeline tiny_digits": ("FINISHED", "pipeline"), "svm": ("FINISHED", "train")}


@pytest.mark.parametrize("how", HOW)
def test_mlflow_run_ends_well_and_leaves_nothing_running(mlflow_runs, how):
    finished = mlflow_runs[how].finished
    assert finished.code == 0, finished.stderr
    assert finished.left == ()
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("how", HOW)
def test_mlflow_run_logs_into_the_home_as_the_command_does(mlflow_runs, how):
    home = mlflow_runs[how].home
    assert (home / "mlflow.db").exists(), mlflow_runs[how].finished.stderr
    assert runs(home / "mlflow.db") == EXPECTED
    assert len(list(home.glob("artifacts/*/artifacts/evaluation/predictions.parquet"))) == 1


def test_mlflow_run_from_elsewhere_writes_nothing_into_the_project(mlflow_runs):
    project = mlflow_runs["from_elsewhere_with_the_home_s_database_named"].project
    assert {path.name for path in project.iterdir()} == FILES


def test_mlflow_run_from_the_project_s_folder_leaves_there_only_mlflow_s_own_database(mlflow_runs):
    assert {path.name for path in mlflow_runs["from_the_project_s_folder"].project.iterdir()} == {*FILES, "mlflow.db"}
