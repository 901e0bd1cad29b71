"""What goes wrong is told in a sentence, with an exit code, and leaves nothing half-done."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# MLflow's registry of sources knows the local one twice from the second pipeline of a process on.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")

LONG = {"epochs": 2_000, "batch_size": 16, "learning_rate": 0.001}
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens


def told(finished: Any, code: int) -> str:
    """The sentence of a command that was run with --json."""
    assert finished.code == code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.left == ()
    return str(finished.answer["error"])


def query(home: Path, statement: str, *values: str) -> list[Any]:
    """Rows of the embedded MLflow database; none while it has no tables yet."""
    try:
        with closing(sqlite3.connect(f"file:{home}/mlflow.db?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.OperationalError:
        return []


def runs(home: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Name of each MLflow run -> status and tags."""
    found = {}
    for run_id, name, status in query(home, "SELECT run_uuid, name, status FROM runs"):
        found[name] = status, dict(query(home, "SELECT key, value FROM tags WHERE run_uuid = ?", run_id))
    return found


def statuses(home: Path) -> dict[str, str]:
    return {name: status for name, (status, _) in runs(home).items()}


def artifact(home: Path, name: str) -> str:
    """Text of the only artifact of that name."""
    (path,) = home.glob(f"artifacts/*/artifacts/{name}")
    return path.read_text()


# One file of many is broken, and one of three models cannot learn.


@pytest.fixture(scope="module")
def troubled(tmp_path_factory, darkroom, new_home, pictures, write_experiment, prefect_url) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("troubled")
    shutil.copytree(pictures, folder / "pictures")
    (folder / "pictures" / "red" / "broken.png").write_bytes(b"no picture")
    diverging = {
        "name": "diverging",
        "family": "cnn_plain",
        "params": {"filters": [4], "convolutions": 1, "dense_units": [8]},
        "train": {"optimizer": "sgd", "learning_rate": 1e30},
    }
    cnn = {**diverging, "name": "cnn", "train": {}}
    models = [diverging, cnn, {"name": "svm", "family": "linear_svm"}]
    experiment = write_experiment(folder / "troubled.yaml", folder / "pictures", models=models)
    home = new_home(folder / "home")
    return darkroom("run", experiment, "--json", home=home, PREFECT_API_URL=prefect_url), home


def test_a_corrupt_file_is_quarantined_with_its_reason_and_the_run_goes_on(troubled):
    finished, home = troubled
    report = artifact(home, "data/validation_report.md")
    assert "red/broken.png" in report
    assert "cannot be decoded: not an image" in report
    assert {model["name"] for model in finished.answer["models"]} == {"cnn", "svm"}


def test_a_failed_model_is_named_with_its_reason(troubled):
    finished, _ = troubled
    sentence = told(finished, 1)
    (failure,) = finished.answer["failures"]
    assert finished.answer["status"] == "failed_models"
    assert failure["name"] == "diverging"
    assert "the training loss became" in failure["reason"]
    assert "models.diverging" in sentence


def test_the_other_models_are_evaluated_and_considered_for_promotion(troubled):
    finished, home = troubled
    assert all(model["metrics"]["test_accuracy"] >= 0.6 for model in finished.answer["models"])
    assert finished.answer["promotion"]["decision"] == "promoted"
    assert query(home, "SELECT alias, version FROM registered_model_aliases") == [("champion", 1)]


def test_the_failed_model_s_run_is_failed_and_says_why(troubled):
    finished, home = troubled
    status, tags = runs(home)["diverging"]
    assert status == "FAILED"
    assert "lower train.learning_rate" in tags["darkroom.failure"]
    assert statuses(home) == {
        "pipeline troubled": "FAILED",
        "diverging": "FAILED",
        "cnn": "FINISHED",
        "svm": "FINISHED",
        f"promote {finished.answer['best']['name']}": "FINISHED",
    }


# Data that cannot be used.


@pytest.fixture(scope="module")
def unusable(tmp_path_factory, darkroom, new_home, pictures, write_experiment, prefect_url) -> tuple[Any, Path]:
    """A run on pictures of which too many are corrupt, with a class of one picture and one of none."""
    folder = tmp_path_factory.mktemp("unusable")
    root = folder / "pictures"
    shutil.copytree(pictures, root)
    for number in range(10):
        (root / "red" / f"broken{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    (root / "nothing").mkdir()
    (root / "single").mkdir()
    shutil.copy(root / "red" / "000.png", root / "single" / "only.jpg")
    (root / "red" / "000.png").unlink()
    experiment = write_experiment(folder / "unusable.yaml", root)
    home = new_home(folder / "home")
    return darkroom("run", experiment, "--json", home=home, PREFECT_API_URL=prefect_url), home


def test_too_many_corrupt_files_end_the_run_with_code_3_and_say_how_many(unusable):
    finished, _ = unusable
    sentence = told(finished, 3)
    assert "\n" not in sentence
    assert "10 of 90" in sentence
    assert "validation.max_quarantined" in sentence


@pytest.mark.parametrize("small_class", ["nothing has 0", "single has 1"])
def test_a_class_with_too_few_images_is_named(unusable, small_class):
    finished, _ = unusable
    assert small_class in told(finished, 3)


def test_nothing_is_trained_on_unusable_data_and_the_report_is_logged(unusable):
    _, home = unusable
    assert statuses(home) == {"pipeline unusable": "FAILED"}
    assert query(home, "SELECT name FROM registered_models") == []
    assert "10 cannot be decoded" in artifact(home, "data/validation_report.md")
    assert '"usable": false' in artifact(home, "data/validation_report.json")


def test_the_failed_pipeline_run_carries_the_reason(unusable):
    finished, home = unusable
    _, tags = runs(home)["pipeline unusable"]
    assert tags["darkroom.failure"] == finished.answer["error"]


def test_unusable_data_end_prepare_with_code_3_too(tmp_path, home, darkroom_here, pictures, write_experiment):
    shutil.copytree(pictures, tmp_path / "pictures")
    (tmp_path / "pictures" / "nothing").mkdir()
    experiment = write_experiment(tmp_path / "empty.yaml", tmp_path / "pictures")
    finished = darkroom_here("prepare", experiment, "--json", home=home)
    assert finished.code == 3
    assert "nothing has 0" in finished.answer["error"]


@pytest.fixture
def leaking(tmp_path, pictures, write_experiment) -> Path:
    """An experiment whose given test pictures of one class were copied from its training pictures."""
    for split in ("train", "test"):
        shutil.copytree(pictures, tmp_path / "pictures" / split)
    for colour in ("blue", "red"):  # of the copies, leave ten in test and the other thirty in train
        for number in range(40):
            split = "train" if number < 10 else "test"
            (tmp_path / "pictures" / split / colour / f"{number:03}.png").unlink()
    for number in range(10):
        name = f"{number:03}.png"
        shutil.copy(tmp_path / "pictures" / "test" / "red" / name, tmp_path / "pictures" / "train" / "red" / name)
    return write_experiment(tmp_path / "leaking.yaml", tmp_path / "pictures", split={"validation": 10, "test": "given"})


def test_leaking_data_end_the_run_with_code_3_and_name_the_pairs(leaking, home, darkroom_here, new_home):
    finished = darkroom_here("run", leaking, "--json", home=new_home(home))
    sentence = finished.answer["error"]
    assert finished.code == 3
    assert "50.00% are: train/red/000.png and test/red/000.png" in sentence
    assert "--set validation.drop_leaking=true" in sentence
    assert statuses(home) == {"pipeline leaking": "FAILED"}
    assert "test/red/009.png" in artifact(home, "data/validation_report.json")


def test_leaking_training_rows_are_dropped_on_request(leaking, home, darkroom_here):
    settings = ("--set", "validation.drop_leaking=true", "--set", "validation.max_quarantined=0.2")
    finished = darkroom_here("prepare", leaking, *settings, home=home)
    assert finished.code == 0, finished.said
    assert "2 classes, 90 images: 40 train, 20 validation, 20 test, 10 quarantined" in finished.said
    assert "are quarantined (validation.drop_leaking)" in finished.said


# Wrong files and servers that are away: told before anything is done.


def test_an_unknown_key_ends_with_code_2_and_names_file_and_key(tmp_path, home, darkroom, pictures, write_experiment):
    experiment = write_experiment(tmp_path / "misspelt.yaml", pictures, train={"epoch": 3})
    finished = darkroom("run", experiment, home=home)
    assert finished.code == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"darkroom: {experiment}: train.epoch: unknown key")
    assert "did you mean 'epochs'?" in line


def test_nothing_is_written_for_an_experiment_file_that_is_wrong(tmp_path, home, darkroom, pictures, write_experiment):
    experiment = write_experiment(tmp_path / "misspelt.yaml", pictures, dataset={"source": "folder", "pth": "x"})
    sentence = told(darkroom("run", experiment, "--json", home=home), 2)
    assert "pth: unknown key" in sentence
    assert not home.exists()


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "PREFECT_API_URL"])
def test_a_server_that_does_not_answer_ends_with_code_5_soon(home, darkroom, variable):
    finished = darkroom("run", "digits", "--json", home=home, **{variable: NOWHERE})
    sentence = told(finished, 5)
    assert f"{variable}={NOWHERE}" in sentence
    assert finished.seconds < 15
    assert not (home / "mlflow.db").exists()


# A disk that is full.


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size in memory, unmounted afterwards."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "darkroom-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Take all space that is left, to the last block."""
    with (folder / "filling").open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break


def test_a_home_with_too_little_space_is_refused_at_once(tmp_path, darkroom):
    with mounted(tmp_path / "disk", "16m") as disk:
        finished = darkroom("run", "digits", "--json", home=disk / "home")
        written = (disk / "home" / "mlflow.db").exists()
    sentence = told(finished, 1)
    assert sentence.startswith(f"DARKROOM_HOME={disk}/home: expected at least 64 MB free; 16 MB are free")
    assert not written


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory, darkroom, darkroom_here, new_home, wait_until, pictures, write_experiment
) -> SimpleNamespace:
    """A run whose disk fills up while its first model trains; the second model alone is more than the reserve.

    Then space is freed, and the same command given again.
    """
    folder = tmp_path_factory.mktemp("filled")
    small = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
    large = {**small, "name": "large", "params": {**small["params"], "dense_units": [4096]}, "train": {"epochs": 1}}
    experiment = write_experiment(folder / "filled.yaml", pictures, models=[small, large], train=LONG | {"epochs": 60})
    with mounted(folder / "disk", "160m") as disk:
        home = new_home(disk / "home")
        with darkroom.start("run", experiment, "--json", home=home) as running:
            wait_until(lambda: is_training(home) or running.process.poll() is not None, 120, "the training")
            fill(disk)
            finished = running.wait(120)
        found = SimpleNamespace(
            home=home,
            finished=finished,
            statuses=statuses(home),
            reasons=[row[0] for row in query(home, "SELECT value FROM tags WHERE key = 'darkroom.failure'")],
            versions=query(home, "SELECT version FROM model_versions"),
        )
        (disk / "filling").unlink()
        found.again = darkroom_here("run", experiment, "--json", home=home)
        found.afterwards = query(home, "SELECT name, status FROM runs")
        return found


@pytest.mark.soak
def test_a_disk_that_fills_up_in_mid_training_is_told_in_a_sentence(filled):
    assert filled.finished.code == 1
    assert filled.finished.answer["error"].startswith(f"DARKROOM_HOME={filled.home}: the disk is full; ")


@pytest.mark.soak
def test_a_disk_that_fills_up_prints_no_traceback(filled):
    assert "Traceback" not in filled.finished.stderr
    assert "[SQL:" not in filled.finished.stderr


@pytest.mark.soak
def test_a_disk_that_fills_up_leaves_no_run_open(filled):
    assert set(filled.statuses) >= {"pipeline filled", "cnn"}
    assert "RUNNING" not in filled.statuses.values(), filled.statuses


@pytest.mark.soak
def test_a_disk_that_fills_up_leaves_no_process_and_no_version(filled):
    assert filled.finished.left == ()
    assert filled.versions == []


@pytest.mark.soak
def test_the_runs_of_a_disk_that_fills_up_say_so_in_a_sentence(filled):
    assert filled.reasons
    assert [reason for reason in filled.reasons if "[SQL:" in reason or "disk is full" not in reason] == []


@pytest.mark.soak
def test_once_there_is_space_the_same_command_goes_on_with_the_run_that_the_full_disk_ended(filled):
    assert filled.again.code == 0, filled.again.answer
    assert [status for name, status in filled.afterwards if name == "pipeline filled"] == ["FINISHED"]
    assert {model["name"] for model in filled.again.answer["models"]} == {"cnn", "large"}


def is_training(home: Path) -> bool:
    """Whether a train run is open and the pixels are there, from which on it computes."""
    return statuses(home).get("cnn") == "RUNNING" and any(home.glob("cache/pixels/[!.]*.npy"))


# Ctrl-C.

WHOM = ["the_group_as_a_terminal_does", "the_command_alone"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, darkroom, new_home, wait_until, pictures, write_experiment) -> dict[str, SimpleNamespace]:
    """Two trainings side by side, each interrupted in one way once it has begun."""
    with ExitStack() as started:
        running = {}
        for whom in WHOM:
            home = new_home(tmp_path_factory.mktemp(whom) / "home")
            experiment = write_experiment(home.with_name("stopped.yaml"), pictures, train=LONG)
            running[whom] = started.enter_context(darkroom.start("run", experiment, home=home))
        found = {}
        for whom, one in running.items():
            begun = partial(has_begun, one)
            wait_until(begun, 180, f"the training, to be stopped by a signal to {whom}")
            processes = len(one.descendants())
            one.interrupt(alone=whom == "the_command_alone")
            found[whom] = SimpleNamespace(finished=one.wait_or_kill(20), processes=processes, home=one.home)
        return found


def has_begun(running: Any) -> bool:
    assert running.process.poll() is None, "the command ended before it trained"
    return is_training(running.home)


@pytest.mark.parametrize("whom", WHOM)
def test_ctrl_c_ends_a_training_soon_and_says_so(stopped, whom):
    finished = stopped[whom].finished
    assert finished.code == 1, "killed, since it still ran after 20 s" if finished.code < 0 else finished.stderr
    assert finished.stderr.splitlines()[-1] == "darkroom: interrupted"
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("whom", WHOM)
def test_ctrl_c_leaves_no_run_open(stopped, whom):
    assert statuses(stopped[whom].home) == {"pipeline stopped": "KILLED", "cnn": "KILLED"}


@pytest.mark.parametrize("whom", WHOM)
def test_ctrl_c_leaves_no_process(stopped, whom):
    assert stopped[whom].processes > 1, "expected Prefect's temporary server beside the command"
    assert stopped[whom].finished.code == 1
    assert stopped[whom].finished.left == ()
