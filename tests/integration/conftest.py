"""Real servers, and small pictures whose two classes anything can learn."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml
from PIL import Image

SIDE = 16
COLOURS = {"blue": (60, 60, 190), "red": (190, 60, 60)}
TINY_CNN = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
SVM = {"name": "svm", "family": "linear_svm"}
# Prefect's whole server with the temporary one's database: by its own it now and then answers nobody for a minute.
SERVE_PREFECT = """
from flows.temporary_server import queue_requests
from prefect.cli import app

queue_requests()
app()
"""


@pytest.fixture(scope="session")
def draw_pictures() -> Callable[..., None]:
    """`draw_pictures(folder, "red", 40)`: so many noisy pictures of one colour, none like another."""

    def draw(folder: Path, colour: str, count: int) -> None:
        random = np.random.default_rng(list(COLOURS).index(colour))
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(random.normal(COLOURS[colour], 30, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03}.png")

    return draw


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, draw_pictures: Callable[..., None]) -> Path:
    """Folder of two classes of 40 pictures; copy it before changing it."""
    root = tmp_path_factory.mktemp("pictures")
    for colour in COLOURS:
        draw_pictures(root / colour, colour, 40)
    return root


@pytest.fixture(scope="session")
def write_experiment() -> Callable[..., Path]:
    """`write_experiment(file, pictures, train={…})`: a tiny experiment with sections replaced."""

    def write(path: Path, folder: Path, **sections: Any) -> Path:
        experiment = {
            "name": path.stem,
            "dataset": {"source": "folder", "path": str(folder)},
            "models": [TINY_CNN, SVM],
            "split": {"validation": 8, "test": 10},
            "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01},
            "promotion": {"thresholds": {"test_accuracy": 0.6}, "servable": False},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(experiment | sections, sort_keys=False))
        return path

    return write


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path], pictures: Path
) -> Iterator[SimpleNamespace]:
    """A model of every kind, each the champion of an experiment of its name; the networks untrained."""
    import mlflow

    from pipeline_config.settings import Settings
    from tasks.tracking import RunTags

    home = new_home(tmp_path_factory.mktemp("served") / "home")
    tags = {name: RunTags(name, "c" * 64, None, "d" * 64, "t" * 64) for name in _models_to_serve()}
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(home)):
        sys.modules["tasks.tracking.store"].client.cache_clear()
        client = mlflow.MlflowClient(Settings().tracking_uri)
        found = SimpleNamespace(home=home, client=client, models={}, run_ids={}, model_ids={})
        for name, section in _models_to_serve().items():
            _serve(found, name, section, tags[name], pictures)
        sys.modules["tasks.tracking.store"].client.cache_clear()
        yield found


def _models_to_serve() -> dict[str, dict[str, Any]]:
    tiny = {"filters": [4], "dense_units": [8]}
    return {
        "cnn": {"family": "cnn_batchnorm", "params": {**tiny, "dropout": 0.5}},
        "both": {"family": "class_and_box", "params": tiny},
        "box": {"family": "class_and_box", "params": {**tiny, "heads": ["box"]}},
        "svm": {"family": "linear_svm"},
    }


def _serve(found: SimpleNamespace, name: str, section: dict[str, Any], tags: Any, pictures: Path) -> None:
    from pipeline_config.experiment import Model
    from tasks import tracking
    from tasks.prediction import predict_heads
    from tasks.train.registry import build_model

    paths = sorted(pictures.glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    labels = np.array([sorted(COLOURS).index(path.parent.name) for path in paths])
    model = build_model(Model(name=name, **section), (SIDE, SIDE, 3), len(COLOURS))
    if hasattr(model, "predict_proba"):
        model.fit(pixels, labels)
    heads = predict_heads(model, pixels[:2])
    answer = heads["probabilities"] if set(heads) == {"probabilities"} else heads
    with tracking.run("train", name, tags) as run_id:
        tracking.log_params(run_id, {"family": section["family"]})
        model_id = tracking.log_model(run_id, model, pixels[:2], answer, tuple(sorted(COLOURS)))
        tracking.log_metrics(run_id, {"fit_seconds": 1.0}, model_id)
    found.client.create_registered_model(name)
    found.client.create_model_version(name, f"models:/{model_id}", run_id=run_id, model_id=model_id)
    found.client.set_registered_model_alias(name, "champion", "1")
    found.models[name], found.run_ids[name], found.model_ids[name] = model, run_id, model_id


@pytest.fixture(scope="session")
def mlflow_server(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], new_home: Callable[[Path], Path]
) -> Iterator["Server"]:
    """An MLflow server with a database and artifacts of its own."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    home = new_home(folder / "home")
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = ["-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--backend-store-uri",
        f"sqlite:///{home}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    with _serving(command, folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as process:
        yield Server(address, f"{address}/health", process, folder)


@pytest.fixture(scope="session")
def prefect_server(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], new_home: Callable[[Path], Path]
) -> Iterator["Server"]:
    """A Prefect server with a home of its own; `url` is what `PREFECT_API_URL` takes."""
    folder = tmp_path_factory.mktemp("prefect-server")
    home = new_home(folder / "home")
    address = f"http://127.0.0.1:{(port := free_port())}/api"
    command = ["-c", SERVE_PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with _serving(command, folder, PREFECT_HOME=str(home / "prefect")) as process:
        yield Server(address, f"{address}/health", process, folder)


@pytest.fixture(scope="session")
def servers(mlflow_server: "Server", prefect_server: "Server", wait_until: Callable[..., Any]) -> dict[str, str]:
    """Both servers, started side by side and answering, as the environment variables that name them."""
    for server in (mlflow_server, prefect_server):
        wait_until(server.answers, 90, lambda server=server: f"{server.url}; its log:\n{server.log()}")
    return {"MLFLOW_TRACKING_URI": mlflow_server.url, "PREFECT_API_URL": prefect_server.url}


@pytest.fixture(scope="session")
def prefect_url(prefect_server: "Server", wait_until: Callable[..., Any]) -> str:
    """The Prefect server alone: it saves a command the start of a temporary one."""
    wait_until(prefect_server.answers, 90, lambda: f"{prefect_server.url}; its log:\n{prefect_server.log()}")
    return prefect_server.url


@contextmanager
def _known_to(prefect_url: str) -> Iterator[None]:
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield
        EventsWorker.drain_all(timeout=10)


@pytest.fixture
def on_prefect(prefect_url: str) -> Iterator[None]:
    """Flows that the test itself runs are known to the Prefect server, told before the server may end."""
    with _known_to(prefect_url):
        yield


@pytest.fixture(scope="session")
def darkroom_here(prefect_url: str) -> Callable[..., Any]:
    """`darkroom_here("prepare", file, home=…)`: the command in this process, which has its imports already; its exit
    code, the answer of `--json`, and what people are told without it.

    For what a command does. That it ends alone, and prints nothing else, is seen only in a process of its own.
    """
    from flows.cli import app
    from tasks.progress import console

    def run(*arguments: str | Path, home: Path) -> SimpleNamespace:
        quiet = console.quiet
        variables = {"DARKROOM_HOME": str(home), "PREFECT_API_URL": prefect_url}
        with (
            mock.patch.dict(os.environ, variables),
            _known_to(prefect_url),
            console.capture() as said,
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()) as stdout,
        ):
            # Great Expectations imports sre_constants and sre_parse, which Python 3.11 has deprecated.
            warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
            # Not typer's CliRunner, which closes the streams that libraries imported meanwhile go on writing to.
            try:
                code = app([str(argument) for argument in arguments], standalone_mode=False)
            finally:
                console.quiet = quiet
        answer = json.loads(stdout.getvalue()) if "--json" in arguments else None
        return SimpleNamespace(code=code, answer=answer, said=said.get())

    return run


class Server:
    """A server that was started."""

    def __init__(self, url: str, health: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.url, self._health, self._process, self._folder = url, health, process, folder

    def answers(self) -> bool:
        assert self._process.poll() is None, f"the server ended by itself; its log:\n{self.log()}"
        try:
            with urllib.request.urlopen(self._health, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def log(self) -> str:
        return (self._folder / "log").read_text()


@contextmanager
def _serving(command: list[str], folder: Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of the environment's Python as a server in its own process group, which is ended as a group."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
