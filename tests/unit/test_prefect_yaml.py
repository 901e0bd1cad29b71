"""`prefect.yaml` names flows that are there, with parameters that they take."""

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint

from pipeline_config.loading import load_experiment, shipped_experiments


@pytest.fixture
def deployments(repository):
    written = yaml.safe_load((repository / "prefect.yaml").read_text())
    return {deployment["name"]: deployment for deployment in written["deployments"]}


@pytest.mark.parametrize(("name", "flow"), [("digits", "scheduled"), ("sweep", "pipeline"), ("promote", "promote run")])
def test_a_deployment_names_a_flow_its_pool_and_one_run_at_a_time(deployments, name, flow):
    deployment = deployments[name]
    found = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    assert found.name == flow
    assert set(deployment.get("parameters", {})) <= set(found.parameters.properties)
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert deployment["work_pool"]["name"] == "darkroom"


def test_the_experiments_are_shipped_and_the_clock_is_right(deployments):
    named = {name: deployments[name]["parameters"]["experiment"] for name in ("digits", "sweep")}
    assert set(named.values()) <= set(shipped_experiments())
    assert load_experiment(named["sweep"]).sweep is not None
    (schedule,) = deployments["digits"]["schedules"]
    assert CronSchedule(**schedule).timezone == "Europe/Berlin"
