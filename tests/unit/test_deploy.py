"""The example of `deploy/`: what it names is there, and it holds no secrets. What it starts is run by test_backends."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(TEXT)["services"]


def variables(name: str) -> dict[str, str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_variable_of_the_compose_file_has_an_example_and_no_other():
    assert set(re.findall(r"(?<!\$)\$\{(\w+)\}", TEXT)) == set(variables(".env.example"))


def test_the_passwords_of_the_example_are_none():
    given = variables(".env.example")
    assert {value for name, value in given.items() if "PASSWORD" in name} == {"CHANGE-ME"}


def test_the_file_with_real_passwords_is_neither_committed_nor_copied_into_the_image():
    for ignored in (".gitignore", ".dockerignore"):
        assert "deploy/.env" in (DEPLOY.parent / ignored).read_text().splitlines()


def test_every_address_is_that_of_a_service(services):
    named = set(re.findall(r"(?://|@)(\w+):\d+", TEXT)) - {"127"}
    assert named == {"store", "postgres", "mlflow", "prefect"}
    assert named <= set(services)


def test_nothing_is_published_beyond_this_machine(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_server_of_the_example_sends_telemetry(services):
    assert services["mlflow"]["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert services["prefect"]["environment"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_a_client_is_told_where_the_published_ports_are(services):
    for name, variable in (("mlflow", "MLFLOW_TRACKING_URI"), ("prefect", "PREFECT_API_URL")):
        (published,) = services[name]["ports"]
        assert variables("client.env.example")[variable].startswith(f"http://{published.rpartition(':')[0]}")
