"""What every test gets: an environment of its own, the command in a subprocess, waiting with a deadline, real data."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import hypothesis
import psutil
import pytest
from filelock import FileLock

from pipeline_config.settings import configure_environment

REPOSITORY = Path(__file__).resolve().parents[1]
# What these name outside must not reach a test.
FOREIGN = ("DARKROOM_", "GRADIO_", "GX_", "KERAS_", "MLFLOW_", "PREFECT_")
TELEMETRY_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
}
# The first example of a test often imports a library, and machines are shared.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
MAKE_DATABASES = """
from flows.prefect_server import TemporaryServer
from tasks import tracking

server = TemporaryServer()
server.start()
tracking.open_store()
server.wait()
server.stop()
"""
TEST_DATA = Path(os.environ.get("DARKROOM_TEST_DATA", REPOSITORY.parent / "shared" / "data")).absolute()


def _isolated(environment: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if not name.startswith(FOREIGN) and name != "CI"}
    # Where the real data are: processes that run tests side by side are told by this environment.
    return {**kept, **TELEMETRY_OFF, "DARKROOM_TEST_DATA": str(TEST_DATA)}


def pytest_configure(config: pytest.Config) -> None:
    """Before any library is imported that reads its settings from the environment then."""
    outside = dict(os.environ)
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="darkroom-tests-")
    os.environ.clear()
    os.environ.update(_isolated(outside))
    os.environ["DARKROOM_HOME"] = f"{folder}/home"
    os.environ["PREFECT_HOME"] = f"{folder}/prefect"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # What MLflow has downloaded and processes that were killed had written goes as well; tests' own folders stay.
        os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(dir=folder)
        for above in (folder, tempfile.tempdir):
            Path(above).chmod(0o755)  # as the usual one, any user may enter it
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)
    configure_environment()

    def restore() -> None:
        os.environ.clear()
        os.environ.update(outside)
        tempfile.tempdir = usual
        # At the end of the process, after multiprocessing has taken its own folder away (priority -100).
        Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)

    config.add_cleanup(restore)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses the timed run has the machine to itself."""
    for item in items:
        if "digits" in getattr(item, "fixturenames", ()) and "unit" not in item.path.parts:
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def home_folder(tmp_path: Path) -> Path:
    """Where `home` is; a module whose tests share one says so by a fixture of this name."""
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def home(home_folder: Path) -> Iterator[Path]:
    """The test's `DARKROOM_HOME`; what a test or a library changes in the environment ends with the test."""
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(home_folder)):
        _forget_store()
        yield home_folder
    _forget_store()


def _forget_store() -> None:
    """One test's connection to MLflow must not serve the next."""
    if "tasks.tracking.store" in sys.modules:
        sys.modules["tasks.tracking.store"].client.cache_clear()


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("scenes15")`: a folder or file of real data, which are other people's and no part of the project.

    The project's tests must pass without them: a test that needs them is skipped there, and says what is missing.
    """

    def find(name: str) -> Path:
        path = TEST_DATA / name
        if not path.exists():
            pytest.skip(f"no {path}; put it there, or name the folder of real data with DARKROOM_TEST_DATA")
        return path

    return find


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """`wait_until(question, seconds, "what is waited for")`: the first true answer.

    What is waited for may be a function, as of a log that is empty before the waiting.
    """

    def wait(question: Callable[[], Any], seconds: float, what: str | Callable[[], str]) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:g} s in vain for: {what() if callable(what) else what}")
            time.sleep(0.05)
        return answer

    return wait


@dataclass(frozen=True)
class Finished:
    """A command that has ended; `left` are the processes it left behind, `temporary` its files outside the home."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    left: tuple[str, ...]
    temporary: tuple[str, ...]

    @property
    def answer(self) -> dict[str, Any]:
        """The one line of JSON on stdout."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, f"expected one line of JSON on stdout; received {self.stdout!r}; stderr {self.stderr}"
        answer: dict[str, Any] = json.loads(lines[0])
        return answer


def _listen_to_interrupts() -> None:
    """As a user's command does: what a shell runs in the background ignores Ctrl-C, and so does its every child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Running:
    """A command in its own process group."""

    def __init__(self, command: list[str], home: Path, output: Path, cwd: Path, variables: dict[str, str]) -> None:
        self.home, self._output, self._started = home, output, time.monotonic()
        places = {"DARKROOM_HOME": str(home), "TMPDIR": str(output / "temporary")}
        environment = {**_isolated(dict(os.environ)), **places, **variables}
        with (output / "stdout").open("w") as stdout, (output / "stderr").open("w") as stderr:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=_listen_to_interrupts,
            )

    def interrupt(self, alone: bool) -> None:
        """As Ctrl-C in a terminal, which goes to the whole group; or as `kill -INT`, for the command alone."""
        (os.kill if alone else os.killpg)(self.process.pid, signal.SIGINT)

    def wait(self, timeout: float) -> Finished:
        code = None
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(timeout)
        if code is None:
            pytest.fail(f"still running after {timeout:g} s; stderr so far: {(self._output / 'stderr').read_text()}")
        seconds = time.monotonic() - self._started
        output, error = ((self._output / name).read_text() for name in ("stdout", "stderr"))
        left, root = self._left(), self._output / "temporary"
        temporary = tuple(sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()))
        return Finished(code, output, error, seconds, left, temporary)

    def wait_or_kill(self, timeout: float) -> Finished:
        """As `wait`; what still runs then is killed, which its negative exit code tells."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        self.process.kill()
        return self.wait(timeout)

    def _left(self) -> tuple[str, ...]:
        """What runs on after a few seconds of grace."""
        _, alive = psutil.wait_procs(self.descendants(), timeout=5)
        return tuple(" ".join(_command_line(process)) for process in alive)

    def descendants(self) -> list[psutil.Process]:
        """Every process that was started, at any depth, with this command's home."""
        return [process for process in psutil.process_iter() if _home_of(process) == str(self.home)]

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def _home_of(process: psutil.Process) -> str | None:
    try:
        return None if process.pid == os.getpid() else process.environ().get("DARKROOM_HOME")
    except (psutil.Error, OSError):
        return None


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return [f"process {process.pid}"]


class Command:
    """Runs `darkroom` as a user would, in a subprocess with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *arguments: str | Path, home: Path, timeout: float = 240, **variables: str) -> Finished:
        with self.start(*arguments, home=home, **variables) as running:
            return running.wait(timeout)

    @contextmanager
    def start(self, *arguments: str | Path, home: Path, **variables: str) -> Iterator[Running]:
        """The command while it runs; whatever of it still runs at the end of the block is killed."""
        command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
        with self.start_other(command, home=home, **variables) as running:
            yield running

    @contextmanager
    def start_other(
        self, command: list[str], home: Path, cwd: Path | None = None, **variables: str
    ) -> Iterator[Running]:
        """Another program with the same environment, in an empty folder unless one is given."""
        output = Path(tempfile.mkdtemp(dir=self._folder))
        for name in ("empty", "temporary"):
            (output / name).mkdir()
        running = Running(command, home, output, cwd or output / "empty", variables)
        try:
            yield running
        finally:
            running.end()


@pytest.fixture(scope="session")
def darkroom(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`darkroom("run", "digits", "--json", home=…)`: the command, ended, with its output."""
    return Command(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory, darkroom: Command) -> Callable[[Path], Path]:
    """`new_home(folder / "home")`: a home that has its databases already, copied from those made once for all tests.

    MLflow and Prefect take seconds to make each. That commands make their own is seen in the digits' home.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(home: Path) -> Path:
        with FileLock(shared / "databases.lock"):
            if not (shared / "databases").exists():
                _make_databases(darkroom, Path(tempfile.mkdtemp(dir=shared))).rename(shared / "databases")
        return Path(shutil.copytree(shared / "databases", home))

    return make


def _make_databases(darkroom: Command, home: Path) -> Path:
    """The folder, which must be there, since Prefect makes only its own in it; now with the databases of both."""
    with darkroom.start_other([sys.executable, "-c", MAKE_DATABASES], home=home) as running:
        finished = running.wait(240)
    assert finished.code == 0, finished.stderr
    return home


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory, darkroom: Command) -> SimpleNamespace:
    """Two runs in one home: the experiment as it is shipped, and again with one epoch.

    The first has the machine to itself; beside the second its data are prepared and checked, each in another home.
    """
    folder = tmp_path_factory.mktemp("digits")
    home = folder / "home"
    load = os.getloadavg()[0]
    first = darkroom("run", "digits", "--json", home=home, timeout=400)
    assert first.code == 0, first.stderr
    seconds = first.answer["seconds"]
    fits = sum(model["metrics"]["fit_seconds"] for model in first.answer["models"])
    print(f"\ndigits: load {load:.1f} at the start, {first.seconds:.1f} s by the clock, fits {fits:.1f} s, {seconds}")
    later = {
        "second": (home, "run", "digits", "--set", "train.epochs=1"),
        "prepared": (folder / "prepared", "prepare", "digits"),
        "checked": (folder / "checked", "check", "digits"),
    }
    with ExitStack() as started:
        running = {
            name: started.enter_context(darkroom.start(*words, "--json", home=place))
            for name, (place, *words) in later.items()
        }
        done = {name: one.wait(400) for name, one in running.items()}
    return SimpleNamespace(home=home, folder=folder, load=load, first=first, overhead=seconds["total"] - fits, **done)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    from flows import prefect_server

    return prefect_server.free_port
