"""Whether a server answers, against real ones."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline_config.errors import Unreachable
from tasks import servers

MEND = "start it, or unset the variable"


class Handler(BaseHTTPRequestHandler):
    """Answers `/200` with 200, and so on, and notes what it was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_arguments):
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.asked = []
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def silent_port():
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def free_port():
    """A port where nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]  # bound, so that nobody else takes it, but not listening


def refusal(url):
    with pytest.raises(Unreachable) as caught:
        servers.check_answers(url, "MLFLOW_TRACKING_URI=http://here", MEND)
    assert caught.value.exit_code == 5
    sentence = str(caught.value)
    assert sentence.startswith(f"MLFLOW_TRACKING_URI=http://here: expected a server that answers at {url}; received: ")
    assert sentence.endswith(f"; {MEND}")
    return sentence


@pytest.mark.parametrize("status", [200, 204])
def test_server_that_answers_is_asked_once(server, status):
    server.asked.clear()
    servers.check_answers(f"http://127.0.0.1:{server.server_port}/{status}", "X=1", MEND)
    assert server.asked == [f"/{status}"]


@pytest.mark.parametrize("status", [404, 500, 503, 401])
def test_answer_that_is_no_success_is_told(server, status):
    assert f"it answered {status}" in refusal(f"http://127.0.0.1:{server.server_port}/{status}")


def test_server_that_does_not_listen_is_told(free_port):
    assert "refused" in refusal(f"http://127.0.0.1:{free_port}/health").lower()


def test_server_that_never_answers_is_given_up(silent_port, monkeypatch):
    monkeypatch.setattr(servers, "_SECONDS", 0.2)
    assert "timed out" in refusal(f"http://127.0.0.1:{silent_port}/health")


@pytest.mark.parametrize("url", ["http://", "nonsense", "ftp://127.0.0.1/health", "http://127.0.0.1:port/health"])
def test_url_that_is_none_is_told(url):
    refusal(url)
