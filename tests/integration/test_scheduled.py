"""A schedule at work: a real Prefect server, pool and worker, and what a scheduled run does when it is called here."""

import json
import shutil
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

PATIENCE = 240


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory, new_home):
    return new_home(tmp_path_factory.mktemp("scheduled") / "home")


@pytest.fixture(scope="module")
def nightly(home_folder, tmp_path_factory, pictures, write_experiment, darkroom, darkroom_here, prefect_url):
    """An experiment that is scheduled for every minute, and a worker; until its first run the other tests go on."""
    folder = tmp_path_factory.mktemp("nightly")
    shutil.copytree(pictures, folder / "pictures")
    file = write_experiment(
        folder / "nightly.yaml", folder / "pictures", models=[{"name": "svm", "family": "linear_svm"}]
    )
    words = ("schedule", file, "--timezone", "Europe/Berlin", "--json")
    darkroom_here(*words, "--cron", "0 2 * * *", home=home_folder)
    made = darkroom_here(*words, "--cron", "* * * * *", home=home_folder)
    since = datetime.now(UTC)
    variables = {"PREFECT_API_URL": prefect_url, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with darkroom.start("worker", home=home_folder, **variables) as worker:
        yield SimpleNamespace(
            home=home_folder, folder=folder, file=file, answer=made.answer, since=since, worker=worker
        )


@pytest.fixture
def client():
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def mlflow_client(nightly):
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{nightly.home}/mlflow.db")


@pytest.mark.usefixtures("on_prefect")
def test_the_schedule_is_changed_by_the_same_command(nightly, client):
    deployment = client.read_deployment(nightly.answer["deployment_id"])
    (schedule,) = deployment.schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("* * * * *", "Europe/Berlin")
    assert deployment.parameters["experiment"] == str(nightly.file)
    assert (deployment.global_concurrency_limit.limit, deployment.work_pool_name) == (1, "darkroom")
    assert deployment.concurrency_options.collision_strategy == "CANCEL_NEW"


@pytest.mark.usefixtures("on_prefect")
def test_the_form_of_the_deployment_describes_typed_parameters(nightly, client):
    properties = client.read_deployment(nightly.answer["deployment_id"]).parameter_openapi_schema["properties"]
    assert {name: about["type"] for name, about in properties.items()} == {
        "experiment": "string",
        "overrides": "array",
        "even_if_nothing_changed": "boolean",
    }
    assert all(about["description"] for about in properties.values())


def wait_for_end(wait_until: Any, find: Any, nightly: Any) -> Any:
    def ended() -> Any:
        run = find()
        return run if run and run.state and run.state.is_final() else None

    return wait_until(
        ended, PATIENCE, lambda: f"a run to end; {(nightly.worker._output / 'stderr').read_text()[-3000:]}"
    )


def runs_of(client: Any, nightly: Any) -> list[Any]:
    from prefect.client.schemas.filters import DeploymentFilter

    this = DeploymentFilter(id={"any_": [nightly.answer["deployment_id"]]})
    return list(client.read_flow_runs(deployment_filter=this))


def run_now(client: Any, nightly: Any, wait_until: Any, **parameters: Any) -> Any:
    made = client.create_flow_run_from_deployment(nightly.answer["deployment_id"], parameters=parameters)
    return wait_for_end(wait_until, lambda: client.read_flow_run(made.id), nightly)


def notices(client: Any, flow_run_id: Any) -> str:
    """The artifact of a scheduled run."""
    from prefect.client.schemas.filters import ArtifactFilter

    found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id={"any_": [flow_run_id]}))
    return "\n".join(artifact.data for artifact in found if artifact.key == "scheduled-run")


def runs_by_kind(client: Any, experiment: str, kind: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], f"tags.`darkroom.kind` = '{kind}'")) if found else []


# What a scheduled run does, called here; the worker waits for its minute meanwhile.


@pytest.fixture
def webhook(monkeypatch):
    """What a server of one's own was told."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/secret" else 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        monkeypatch.setenv("DARKROOM_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/secret")
        yield SimpleNamespace(told=told, port=server.server_port)
        server.shutdown()
        thread.join()


def run_here(experiment: Path | str, **parameters: Any) -> Any:
    from flows.scheduled import scheduled

    return scheduled(str(experiment), return_state=True, **parameters)


def finish_a_run(file: Path, *overrides: str) -> None:
    """A pipeline run of the experiment that is FINISHED, with other settings and other code."""
    from pipeline_config.loading import load_experiment
    from tasks import tracking
    from tasks.tracking import RunTags

    config = load_experiment(str(file), list(overrides))
    with tracking.run("pipeline", "earlier", RunTags(config.name, tracking.config_digest(config), None)) as run_id:
        tracking.log_configuration(run_id, config)
        tracking.set_tags(run_id, {"darkroom.code_digest": "of other code"})


@pytest.mark.usefixtures("on_prefect")
def test_a_run_beside_another_of_the_same_experiment_is_skipped_with_a_sentence(
    nightly, mlflow_client, write_experiment, tmp_path
):
    file = write_experiment(tmp_path / "overlapping.yaml", nightly.folder / "pictures")
    (nightly.home / "locks").mkdir(exist_ok=True)
    with FileLock(nightly.home / "locks" / "scheduled-overlapping.lock"):
        state = run_here(file)
    assert (state.type, state.name) == ("COMPLETED", "Skipped")
    assert state.message == "another run of overlapping is at work; this one leaves the work to it"
    assert not runs_by_kind(mlflow_client, "overlapping", "pipeline")


@pytest.mark.usefixtures("on_prefect")
def test_a_wrong_experiment_leaves_a_failed_run_that_says_why_and_the_webhook_is_told(
    nightly, client, mlflow_client, write_experiment, tmp_path, webhook
):
    file = write_experiment(tmp_path / "mistaken.yaml", nightly.folder / "pictures", train={"epochs": 0})
    state = run_here(file)
    assert state.is_failed()
    (failed,) = runs_by_kind(mlflow_client, "mistaken", "check")
    assert failed.info.status == "FAILED"
    assert "train.epochs" in failed.data.tags["darkroom.failure"]
    (told,) = webhook.told
    assert (told["experiment"], told["result"], told["run_id"]) == ("mistaken", "failed", failed.info.run_id)
    assert told["reason"] == failed.data.tags["darkroom.failure"]
    assert told["link"].endswith(f"/runs/{failed.info.run_id}")
    artifact = notices(client, state.state_details.flow_run_id)
    assert "**Result:** failed" in artifact
    assert f"/runs/{failed.info.run_id}" in artifact


@pytest.mark.usefixtures("nightly", "on_prefect")
def test_data_that_are_gone_leave_a_failed_run_and_a_webhook_that_fails_is_a_warning_alone(
    mlflow_client, write_experiment, tmp_path, webhook, monkeypatch
):
    from tasks.progress import console

    monkeypatch.setenv("DARKROOM_WEBHOOK_URL", f"http://127.0.0.1:{webhook.port}/other")
    file = write_experiment(tmp_path / "emptied.yaml", tmp_path / "nowhere")
    finish_a_run(file)
    with console.capture() as said:
        assert run_here(file).is_failed()
    (failed,) = runs_by_kind(mlflow_client, "emptied", "check")
    assert failed.info.status == "FAILED"
    assert "nowhere" in failed.data.tags["darkroom.failure"]
    assert "warning: DARKROOM_WEBHOOK_URL at 127.0.0.1 was not told: it answered 500" in said.get()
    assert "/other" not in said.get()


@pytest.mark.usefixtures("on_prefect")
def test_what_changed_in_configuration_and_code_is_told_to_the_pipeline(nightly, write_experiment, tmp_path, webhook):
    from pipeline_config.errors import DataError
    from tasks.records import Manifest

    file = write_experiment(tmp_path / "changed.yaml", nightly.folder / "pictures", train={"epochs": 9})
    finish_a_run(file, "train.epochs=7")
    now = Manifest(tmp_path, "d" * 64, "t" * 64, (), (16, 16), None, None)
    with (
        mock.patch("flows.scheduled.look_at_data", return_value=now),
        mock.patch("flows.scheduled.warm_up"),
        mock.patch("flows.pipeline.pipeline", side_effect=DataError("no more")) as pipeline,
    ):
        run_here(file)
    assert pipeline.call_args.kwargs["changed"].sentences == (
        "the data changed; what they were is not known, as the last run's manifest is gone",
        "the configuration changed: models.cnn.train.epochs 7 → 9, models.svm.train.epochs 7 → 9, train.epochs 7 → 9",
        "the code of Darkroom changed",
    )
    assert [told["reason"] for told in webhook.told] == ["no more"]


@pytest.mark.usefixtures("on_prefect")
def test_missed_runs_are_made_up_for_by_one(client):
    from prefect.states import Running, Scheduled

    from flows.missed import made_up_for

    flow_id = client.create_flow_from_name("scheduled")
    deployment = client.create_deployment(flow_id, "without a worker", parameters={"experiment": "digits"})
    now = datetime.now(UTC)

    def due(hours: float, **parameters: Any) -> Any:
        state = Scheduled(scheduled_time=now - timedelta(hours=hours))
        return client.create_flow_run_from_deployment(deployment, state=state, parameters=parameters)

    first, second, third = due(72), due(48), due(24)
    other, to_come = due(24, experiment="other"), due(-24)
    assert made_up_for(str(first.id)) is None
    states = {run.id: client.read_flow_run(run.id).state for run in (first, second, third, other, to_come)}
    assert [states[run.id].name for run in (second, third)] == ["Skipped", "Skipped"]
    assert f"made up for by the run {first.name}" in states[second.id].message
    assert all(states[run.id].is_scheduled() for run in (first, other, to_come))
    client.set_flow_run_state(first.id, Running(), force=True)
    late = due(12)  # claimed by the worker in the same moment, and begun later
    assert f"made up for by the run {first.name}, which began later" in made_up_for(str(late.id))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--cron", "at two"),
            "--cron: expected five fields, as '0 2 * * *' for every night at two; received 'at two'",
        ),
        (("--cron", "0 2 * * *", "--timezone", "Berlin"), "--timezone: expected IANA name, as Europe/Berlin; received"),
        (("--cron", "0 2 * * *", "--set", "train.epochs=0"), "train.epochs"),
    ],
)
def test_a_schedule_is_checked_before_anything_is_made(nightly, darkroom_here, words, sentence):
    answered = darkroom_here("schedule", nightly.file, *words, "--json", home=nightly.home)
    assert (answered.code, answered.answer["exit_code"]) == (2, 2)
    assert sentence in answered.answer["error"]


def test_a_schedule_without_a_server_says_how_to_start_one(monkeypatch):
    from flows.schedule import check_server
    from pipeline_config.errors import ConfigurationError

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ConfigurationError, match="`prefect server start`"):
        check_server("schedule")


@pytest.mark.soak
@pytest.mark.usefixtures("on_prefect")
def test_a_scheduled_experiment_runs_by_itself_then_finds_nothing_to_do_and_trains_again_on_new_images(
    nightly, client, mlflow_client, wait_until
):
    def first() -> Any:
        begun = [run for run in runs_of(client, nightly) if run.state and not run.state.is_scheduled()]
        return min(begun, key=lambda run: run.expected_start_time, default=None)

    by_cron = wait_for_end(wait_until, first, nightly)
    client.update_deployment_schedule(
        nightly.answer["deployment_id"], client.read_deployment_schedules(nightly.answer["deployment_id"])[0].id, False
    )
    assert by_cron.auto_scheduled
    assert by_cron.expected_start_time - nightly.since < timedelta(seconds=120)
    print(f"\nbegun {by_cron.start_time - nightly.since} after it was scheduled")  # a busy machine may take longer
    assert by_cron.state.name == "Completed", by_cron.state
    (trained,) = runs_by_kind(mlflow_client, "nightly", "pipeline")
    assert trained.info.status == "FINISHED"
    assert f"/runs/{trained.info.run_id}" in notices(client, by_cron.id)
    assert trained.data.tags["darkroom.changed"] == "no run of it has finished yet"

    idle = run_now(client, nightly, wait_until)
    assert idle.state.name == "Nothing to do", idle.state
    check = runs_by_kind(mlflow_client, "nightly", "check")[0]
    assert (check.info.run_name, check.info.status) == ("nothing to do", "FINISHED")
    assert check.data.tags["darkroom.data_digest"] == trained.data.tags["darkroom.data_digest"]
    assert f"/runs/{check.info.run_id}" in notices(client, idle.id)
    print(f"idle run: {idle.total_run_time} of {idle.end_time - idle.expected_start_time} since it was asked for")

    random = np.random.default_rng(9)
    for number in range(6):  # darker than all before
        pixels = random.integers(0, 40, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(nightly.folder / "pictures" / "red" / f"new{number}.png")
    again = run_now(client, nightly, wait_until)
    assert again.state.name == "Completed", again.state
    latest = runs_by_kind(mlflow_client, "nightly", "pipeline")[0]
    assert latest.info.run_id != trained.info.run_id
    assert latest.data.tags["darkroom.changed"].startswith(
        "6 images added (6 red); class balance: red 40 (50%) → 46 (53%)"
    )
    assert "brightness: new images differ from the old ones" in latest.data.tags["darkroom.changed"]
    logged = {Path(file.path).name for file in mlflow_client.list_artifacts(latest.info.run_id, "changes")}
    assert logged == {"changes.md", "changes.png"}
    page = Path(mlflow_client.download_artifacts(latest.info.run_id, "changes/changes.md", str(nightly.folder)))
    assert "champion's confidence" in page.read_text()
    assert "6 images added" in notices(client, again.id)
