"""A server that is away, told apart from what is wrong with the work; what is written while it is away waits."""

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import ON_PREFECT_SERVER, configure_environment
from tasks.outage import is_away, without_patience
from tasks.reasons import ends_all, reason
from tasks.sweep import task as trials
from tasks.tracking import runs


class Refuses(BaseHTTPRequestHandler):
    """Answers every upload of a file with 500, and notes how often it was asked."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def refusing() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(monkeypatch) -> Iterator[str]:
    """MLflow's address, where nothing listens, and a client that asks once."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        yield address


def failure(address: str) -> Exception:
    import mlflow

    with pytest.raises(mlflow.exceptions.MlflowException) as caught:
        mlflow.MlflowClient(address).get_run("0" * 32)
    return caught.value


def test_a_tracking_server_that_is_away_is_named_with_what_is_kept(nowhere):
    error = failure(nowhere)
    assert is_away(error)
    assert ends_all(error)
    sentence = reason(error)
    assert sentence.startswith(f"MLFLOW_TRACKING_URI={nowhere}: expected the server to answer; received, after trying")
    assert "Connection refused; " in sentence
    assert sentence.endswith("give the same command again: what is finished is kept")
    assert "HTTPConnectionPool" not in sentence


def test_what_another_error_was_caused_by_counts(nowhere):
    error = RuntimeError("a task failed")
    error.__cause__ = failure(nowhere)
    assert is_away(error)


@pytest.mark.parametrize("error", [ValueError("wrong"), DarkroomError("API request to a friend"), OSError("no file")])
def test_what_is_wrong_with_the_work_is_no_outage(error):
    assert not is_away(error)
    assert not ends_all(error)


def test_what_mlflow_answers_is_no_outage():
    from mlflow.exceptions import MlflowException

    assert not is_away(MlflowException("No Experiment with id=7 exists"))


def test_a_refused_file_is_sent_again_before_the_artifact_store_is_named(refusing, tmp_path, monkeypatch):
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    (tmp_path / "metrics.json").write_text("{}")
    place = f"http://127.0.0.1:{refusing.server_port}/api/2.0/mlflow-artifacts/artifacts/1"
    with pytest.raises(MlflowException) as caught:
        HttpArtifactRepository(place).log_artifact(str(tmp_path / "metrics.json"))
    assert len(refusing.asked) == 2
    assert "again for some time: an error of its artifact store each time;" in reason(caught.value)


def test_prefect_s_server_is_told_apart_from_mlflow_s(monkeypatch):
    import httpx

    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    sentence = reason(httpx.ConnectError("All connection attempts failed"))
    assert sentence.startswith("PREFECT_API_URL=http://prefect:4200/api: expected the server to answer")


def test_a_run_whose_server_is_away_fails_with_that_and_is_left_to_be_closed_later(nowhere):
    error = failure(nowhere)
    with pytest.raises(type(error)) as caught, runs.continued("0" * 32):
        raise error
    assert caught.value is error


def test_patience_comes_back(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    with without_patience():
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


@pytest.mark.parametrize("name", ON_PREFECT_SERVER)
def test_prefect_s_client_is_as_patient_unless_told_otherwise(name, monkeypatch):
    monkeypatch.setattr(os, "environ", {name: "3", "PREFECT_API_URL": "http://prefect:4200/api"})
    configure_environment()
    assert os.environ[name] == "3"
    assert set(ON_PREFECT_SERVER) <= set(os.environ)


def test_a_temporary_prefect_server_is_not_asked_again_when_its_disk_is_full(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    configure_environment()
    assert not set(ON_PREFECT_SERVER) & set(os.environ)


# A trial's curves.


@pytest.fixture
def curves(tmp_path, monkeypatch) -> trials._Curves:
    monkeypatch.setattr(trials, "_SECONDS_APART", 0.0)
    plan = trials.Plan("trial", "study", 0, {}, {}, "val_loss", 9, Path(tmp_path / "log"))
    trial = SimpleNamespace(report=lambda *_: None, should_prune=lambda: False)
    return trials._Curves("run", trial, plan)


def test_a_training_goes_on_while_its_curves_cannot_be_written(curves, monkeypatch):
    back, written = threading.Event(), []

    def log_history(_run_id: str, history: dict[str, list[float]], first_epoch: int) -> None:
        assert back.wait(30)
        written.append((first_epoch, history["val_loss"]))

    monkeypatch.setattr(trials.tracking, "log_history", log_history)
    with curves:
        for value in (3.0, 2.0, 1.0):
            assert not curves.hear({"val_loss": [value]})  # returns, though nothing can be written yet
        back.set()
    curves.write()
    assert written == [(1, [3.0]), (2, [2.0, 1.0])]


def test_curves_that_could_not_be_written_are_written_with_the_next(curves, monkeypatch):
    tries = []

    def log_history(_run_id: str, history: dict[str, list[float]], first_epoch: int) -> None:
        tries.append((first_epoch, list(history["val_loss"])))
        if len(tries) == 1:
            raise OSError("the server is away")

    monkeypatch.setattr(trials.tracking, "log_history", log_history)
    with curves:
        curves.hear({"val_loss": [3.0]})
    curves.write()
    assert tries == [(1, [3.0]), (1, [3.0])]
