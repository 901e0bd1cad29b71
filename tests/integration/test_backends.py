"""The pipeline on what `deploy/compose.yaml` starts: MLflow and Prefect on PostgreSQL, artifacts in an S3-style store.

Everything of it runs here, and goes away in mid-run: the tracking server for 6 s, PostgreSQL for 1 s, one write.
"""

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import backends, outages

pytestmark = pytest.mark.soak
TINY = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
# Long enough for a server to go away in it.
LONG = {"epochs": 400, "batch_size": 16, "learning_rate": 0.01, "early_stopping_patience": None}


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[dict[str, Any]]:
    if backends.find_postgresql() is None or not all(map(importlib.util.find_spec, ("moto", "psycopg2"))):
        pytest.fail(f"no PostgreSQL, or no S3-compatible store, to run on; {backends.NEEDED}")
    with backends.all_servers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture(scope="module")
def words(tmp_path_factory, pictures, write_experiment) -> list[str]:
    """The command of a tiny experiment whose training takes some seconds."""
    file = tmp_path_factory.mktemp("served") / "served.yaml"
    return ["run", str(write_experiment(file, pictures, models=[TINY], train=LONG))]


@pytest.fixture(scope="module")
def undisturbed(servers, words, tmp_path_factory) -> Any:
    outcome = outages.run("undisturbed", words, tmp_path_factory.mktemp("home"), servers)
    assert outcome.code == 0, outcome.stderr
    return outcome


@pytest.fixture(scope="module")
def client(servers) -> Any:
    import mlflow

    return mlflow.MlflowClient(servers["mlflow"].url)


def query(servers: dict[str, Any], programs: Path, database: str, statement: str) -> list[str]:
    """Rows that PostgreSQL itself has."""
    host, port = servers["postgres"].url.split(":")
    command = [programs / "psql", "-h", host, "-p", port, "-U", "darkroom", "-d", database, "-Atc", statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_runs_and_flows_are_in_postgresql(servers, undisturbed):
    programs = backends.find_postgresql()
    statement = "SELECT name FROM runs WHERE status = 'FINISHED' ORDER BY name"
    names = query(servers, programs, "mlflow", statement)
    assert set(names) == {"cnn", "pipeline served", f"promote {undisturbed.answer['best']['name']}"}
    flows = query(servers, programs, "prefect", "SELECT DISTINCT state_name FROM flow_run")
    assert flows == ["Completed"]


def test_artifacts_are_in_the_bucket_and_come_back_through_the_server(servers, undisturbed, client, tmp_path):
    import boto3

    (model,) = (model for model in undisturbed.answer["models"] if model["name"] == "cnn")
    local = Path(client.download_artifacts(model["run_id"], "evaluation/metrics.json", str(tmp_path)))
    url, secrets = servers["store"].url, {"aws_access_key_id": "darkroom", "aws_secret_access_key": "none"}
    store = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **secrets)
    keys = {found["Key"] for found in store.list_objects_v2(Bucket="darkroom")["Contents"]}
    (key,) = (key for key in keys if model["run_id"] in key and key.endswith("evaluation/metrics.json"))
    assert local.read_bytes() == store.get_object(Bucket="darkroom", Key=key)["Body"].read()
    assert any(key.endswith(".keras") for key in keys)


def test_nothing_but_the_cache_is_on_the_machine_that_trains(undisturbed, client, servers):
    run = client.get_run(undisturbed.answer["pipeline_run_id"])
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert undisturbed.answer["tracking_uri"] == servers["mlflow"].url


def test_a_service_reaches_mlflow_by_its_name(servers):
    import httpx

    asked = f"{servers['mlflow'].url}/api/2.0/mlflow/experiments/get?experiment_id=0"
    answered = {host: httpx.get(asked, headers={"Host": host}) for host in ("mlflow:5000", "elsewhere.example")}
    assert answered["mlflow:5000"].status_code == 200
    assert answered["elsewhere.example"].status_code == 403


def test_servers_that_go_away_in_mid_run_cost_nothing_but_time(servers, undisturbed, words, tmp_path):
    away = [
        outages.refuse_one_write,
        outages.stop_tracking,
        lambda on, _: outages.restart_postgresql(on, 1),
    ]
    found = outages.run("disturbed", words, tmp_path / "home", servers, *away, seconds=6)
    assert list(outages.compare(found, undisturbed, servers["mlflow"].url)) == []
    assert backends.refuse(servers["store"], 0) == 0, "expected the store to have refused a write"
