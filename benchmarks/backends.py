"""Real servers on this machine for a time: PostgreSQL, an S3-compatible store, MLflow and Prefect on them.

What MLflow and Prefect are started with is read from `deploy/compose.yaml`, so that what is measured and tested here is
what that file starts; only addresses and passwords are others.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from string import Template
from typing import Any

import yaml

from benchmarks.servers import Server
from flows.prefect_server import free_port, is_healthy

_ROOT = Path(__file__).parents[1]
_WRITTEN = {"POSTGRES_USER": "darkroom", "POSTGRES_PASSWORD": "", "STORE_USER": "darkroom", "STORE_PASSWORD": "none"}
BUCKET = "darkroom"
NEEDED = "PostgreSQL: apt-get install postgresql; and in Python what the extras dev, postgres and s3 name"


def find_postgresql() -> Path | None:
    """Folder of PostgreSQL's programs, the newest that is installed; None without it."""
    found = [Path(path).resolve().parent for path in (shutil.which("initdb"),) if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@contextmanager
def postgresql() -> Iterator[Server]:
    """A cluster of its own with the databases `mlflow` and `prefect`; PostgreSQL refuses to run as root."""
    programs, user = find_postgresql(), "nobody" if os.geteuid() == 0 else None
    assert programs, NEEDED
    with tempfile.TemporaryDirectory(prefix="darkroom-postgresql-", ignore_cleanup_errors=True) as folder:
        data, port = Path(folder, "data"), free_port()
        Path(folder).chmod(0o777)
        unprivileged: dict[str, Any] = {"user": user, "extra_groups": []} if user else {}

        def run(program: str, *words: str) -> None:
            done = subprocess.run(
                [programs / program, *words], cwd=folder, capture_output=True, text=True, check=False, **unprivileged
            )
            assert done.returncode == 0, f"{program} {' '.join(words)}: {done.stderr}"

        run("initdb", "-D", str(data), "-U", "darkroom", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        options = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        server = Server(
            [str(programs / "postgres"), "-D", str(data), *options],
            f"127.0.0.1:{port}",
            lambda: subprocess.run([programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0,
            Path(folder, "log"),
            os.environ,
            user=user,
        )
        try:
            server.start()
            server.wait()
            for name in ("mlflow", "prefect"):
                run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "darkroom", name)
            yield server
        finally:
            server.stop()


@contextmanager
def object_store(folder: Path) -> Iterator[Server]:
    """A store with the bucket that `deploy/make_bucket.py` makes."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("object_store.py")), str(port)]
    url = f"http://127.0.0.1:{port}"
    server = Server(command, url, lambda: _takes_connections(port), folder / "store.log", os.environ)
    try:
        server.start()
        server.wait()
        environment = _environment("bucket", {"store:8333": f"127.0.0.1:{port}"})
        subprocess.run([sys.executable, _ROOT / "deploy" / "make_bucket.py", BUCKET], env=environment, check=True)
        yield server
    finally:
        server.stop()


def refuse(store: Server, writes: int) -> int:
    """The next so many uploads are refused; returns how many of those told before were not."""
    with urllib.request.urlopen(f"{store.url}/-/refuse?writes={writes}", data=b"") as answer:
        return int(answer.read())


def mlflow_server(folder: Path, postgres: Server, store: Server) -> Server:
    """MLflow on both."""
    where = {"postgres:5432": postgres.url, "store:8333": store.url.removeprefix("http://")}
    port = free_port()
    command = _command("mlflow", port)
    url = f"http://127.0.0.1:{port}"
    variables = _environment("mlflow", where)
    return Server(command, url, lambda: is_healthy(f"{url}/health"), folder / "mlflow.log", variables)


def prefect_server(folder: Path, postgres: Server) -> Server:
    """Prefect on PostgreSQL; `url` is what PREFECT_API_URL takes."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    variables = _environment("prefect", {"postgres:5432": postgres.url, "127.0.0.1:4200": f"127.0.0.1:{port}"})
    variables["PREFECT_HOME"] = str(folder / "prefect")
    command = [*_command("prefect", port), "--no-ui"]
    return Server(command, url, lambda: is_healthy(f"{url}/health"), folder / "prefect.log", variables)


@contextmanager
def all_servers(folder: Path) -> Iterator[dict[str, Server]]:
    """All four, by name, answering."""
    with ExitStack() as open_:
        postgres = open_.enter_context(postgresql())
        store = open_.enter_context(object_store(folder))
        found = {"mlflow": mlflow_server(folder, postgres, store), "prefect": prefect_server(folder, postgres)}
        for server in found.values():
            open_.callback(server.stop, signal.SIGTERM)
            server.start()
        for server in found.values():
            server.wait()
        yield {"postgres": postgres, "store": store, **found}


def _service(name: str) -> dict[str, Any]:
    composed: dict[str, Any] = yaml.safe_load((_ROOT / "deploy" / "compose.yaml").read_text())
    return dict(composed["services"][name])


def _command(name: str, port: int) -> list[str]:
    """What a service runs, on a port of loopback."""
    _, *words = _service(name)["command"]
    words[words.index("--host") + 1], words[words.index("--port") + 1] = "127.0.0.1", str(port)
    return [sys.executable, *words]


def _environment(name: str, where: Mapping[str, str]) -> dict[str, str]:
    """This process's, and what a service has, with addresses of services replaced by those on this machine."""
    values = {**_WRITTEN, "BUCKET": BUCKET}
    variables = {key: Template(value).substitute(values) for key, value in _service(name)["environment"].items()}
    for address, here in where.items():
        variables = {key: value.replace(address, here) for key, value in variables.items()}
    return {**os.environ, **variables}


def _takes_connections(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False
