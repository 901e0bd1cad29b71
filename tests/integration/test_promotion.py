"""Which model becomes champion, on a registry in SQLite."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Promotion

CLASSES = ("blue", "red")
ROWS = 200
THRESHOLDS = Promotion(thresholds={"test_accuracy": 0.6}, servable=False, sound_data=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]) -> Path:
    """One home for the module, as a new database takes seconds; each test uses an experiment of its own in it."""
    return new_home(tmp_path_factory.mktemp("registry") / "home")


@pytest.fixture
def home_folder(store: Path) -> Path:
    (store / "cache").mkdir(exist_ok=True)
    return store


@pytest.fixture
def client() -> Any:
    import mlflow

    from pipeline_config.settings import Settings

    return mlflow.MlflowClient(Settings().tracking_uri)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Any:
    """Logs models of a made-up experiment and proposes them."""
    from tasks.promote.proposal import Proposal
    from tasks.promote.task import promote_model
    from tasks.tracking import RunTags, run

    tags = RunTags(request.node.originalname, "c" * 64, None, data_digest="d" * 64, test_digest="t" * 64)

    def propose(model: Any, tags: RunTags = tags, promotion: Promotion = THRESHOLDS) -> Any:
        with run("pipeline", "pipeline", tags) as run_id:
            return promote_model.fn(Proposal(model, promotion, tags, run_id))

    return SimpleNamespace(name=tags.experiment, tags=tags, propose=propose)


@pytest.fixture
def log_model(tmp_path: Path, experiment: Any, client: Any) -> Any:
    """`log_model("cnn", wrong=range(20))`: an evaluated model that has all test rows right but these."""
    from tasks import predictions, tracking
    from tasks.evaluate.metrics import test_metrics
    from tasks.records import EvaluatedModel

    def log(name: str, wrong: range, tags: Any = experiment.tags) -> EvaluatedModel:
        labels = np.arange(ROWS) % 2
        said = labels.copy()
        said[wrong] = 1 - said[wrong]
        table = predictions.make_table([f"{row:064}" for row in range(ROWS)], labels, np.eye(2)[said], CLASSES)
        path = tmp_path / f"{name}.parquet"
        with tracking.run("train", name, tags) as run_id:
            predictions.write(table, tmp_path / run_id / "predictions.parquet")
            tracking.log_files(run_id, tmp_path / run_id, "evaluation")
            experiment_id = client.get_run(run_id).info.experiment_id
            logged = client.create_logged_model(experiment_id, source_run_id=run_id)
        predictions.write(table, path)
        chosen = {"chosen_val_accuracy": 1 - len(wrong) / ROWS, "chosen_val_loss": 0.1, "fit_seconds": 1.0}
        return EvaluatedModel(
            name=name,
            family="linear_svm",
            run_id=run_id,
            model_id=logged.model_id,
            model_uri=logged.model_uri,
            predictions=path,
            test_digest=tags.test_digest,
            metrics={**chosen, **test_metrics(table)},
        )

    return log


@pytest.fixture
def manifest(tmp_path: Path) -> Any:
    """A manifest of 100 validation images, which tell how far values may differ by chance."""
    from tasks import manifest as manifests
    from tasks.records import Manifest

    rows = {"image_id": [f"{row:064}" for row in range(100)], "label": 0, "bytes": 1, "split": "validation"}
    table = pd.DataFrame({**rows, "status": "ok"})
    manifests.write(manifests.conform(table), tmp_path / "manifest.parquet")
    return Manifest(tmp_path / "manifest.parquet", "d" * 64, "t" * 64, CLASSES, (16, 16), tmp_path, None)


def aliases(client: Any, name: str) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


def verdicts(decision: Any) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in decision.gates}


def test_the_first_model_becomes_champion(experiment, log_model, client):
    decision = experiment.propose(log_model("first", wrong=range(20)))
    assert (decision.decision, decision.version) == ("promoted", 1)
    assert "no champion yet" in decision.detail
    assert aliases(client, experiment.name) == {"champion": 1}


def test_the_same_model_again_does_not_move_the_alias(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(20)))
    decision = experiment.propose(log_model("again", wrong=range(20)))
    assert (decision.decision, decision.version) == ("kept", 2)
    assert aliases(client, experiment.name) == {"champion": 1, "challenger": 2}
    assert verdicts(decision)["worth_moving"] is False


def test_a_digit_more_is_not_better(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(20)))
    decision = experiment.propose(log_model("a_little_better", wrong=range(18)))
    assert decision.decision == "kept"
    assert "McNemar p = 0.500" in decision.detail
    assert aliases(client, experiment.name)["champion"] == 1


def test_a_significantly_better_model_takes_over_and_the_old_one_is_previous(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(40)))
    experiment.propose(log_model("as_good", wrong=range(40)))
    decision = experiment.propose(log_model("better", wrong=range(10)))
    assert (decision.decision, decision.version) == ("promoted", 3)
    assert aliases(client, experiment.name) == {"champion": 3, "previous": 1}


def test_a_worse_model_is_refused(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(10)))
    decision = experiment.propose(log_model("worse", wrong=range(40)))
    assert decision.decision == "refused"
    assert verdicts(decision)["not_worse_than_champion"] is False
    assert "30 of them alone" in decision.detail
    assert aliases(client, experiment.name) == {"champion": 1, "challenger": 2}


def test_a_worse_model_is_refused_though_its_data_are_newer(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(10)))
    newer = replace(experiment.tags, data_digest="e" * 64)
    assert experiment.propose(log_model("worse", wrong=range(40)), newer).decision == "refused"
    assert aliases(client, experiment.name)["champion"] == 1


def test_an_equal_model_of_newer_data_takes_over(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(20)))
    newer = replace(experiment.tags, data_digest="e" * 64)
    assert experiment.propose(log_model("newer", wrong=range(20), tags=newer), newer).decision == "promoted"
    assert aliases(client, experiment.name) == {"champion": 2, "previous": 1}


def test_a_model_below_its_threshold_is_refused_though_it_is_the_first(experiment, log_model, client):
    decision = experiment.propose(log_model("bad", wrong=range(100)))
    assert decision.decision == "refused"
    assert decision.detail == "test_accuracy is 0.5; expected at least 0.6"
    assert aliases(client, experiment.name) == {"challenger": 1}


def test_other_test_rows_are_refused_with_a_sentence_that_says_what_differs(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(40)))
    other = replace(experiment.tags, test_digest="u" * 64)
    decision = experiment.propose(log_model("elsewhere", wrong=range(0), tags=other), other)
    assert decision.decision == "refused"
    assert f"test rows {'u' * 12}" in decision.detail
    assert f"on {'t' * 12}; only models with the same test rows can be compared" in decision.detail
    assert aliases(client, experiment.name)["champion"] == 1


def test_a_champion_whose_predictions_are_gone_is_not_replaced(experiment, log_model, client, store):
    first = log_model("first", wrong=range(40))
    experiment.propose(first)
    (gone,) = store.glob(f"artifacts/{first.run_id}/artifacts/evaluation/predictions.parquet")
    gone.unlink()
    decision = experiment.propose(log_model("better", wrong=range(0)))
    assert decision.decision == "refused"
    assert "the champion (version 1) cannot be compared" in decision.detail
    assert f"run {first.run_id}: its predictions table cannot be read" in decision.detail
    assert aliases(client, experiment.name) == {"champion": 1, "challenger": 2}


def test_the_version_carries_digests_metrics_and_the_verdict_of_every_gate(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(40)))
    better = log_model("better", wrong=range(10))
    decision = experiment.propose(better)
    version = client.get_model_version(experiment.name, "2")
    assert version.run_id == better.run_id
    gates = {name.removeprefix("gate."): text for name, text in version.tags.items() if name.startswith("gate.")}
    assert gates == {gate.name: f"passed: {gate.detail}" for gate in decision.gates}
    assert set(gates) == {
        "threshold_test_accuracy",
        "same_test_rows",
        "not_worse_than_champion",
        "worth_moving",
    }
    assert version.tags["darkroom.data_digest"] == "d" * 64
    assert version.tags["darkroom.test_digest"] == "t" * 64
    assert version.tags["darkroom.decision"] == "promoted"
    assert version.tags["metric.test_accuracy"] == "0.95"


def test_the_decision_is_on_the_pipeline_s_run(experiment, log_model, client):
    experiment.propose(log_model("bad", wrong=range(100)))
    (found,) = client.search_runs(
        [client.get_experiment_by_name(experiment.name).experiment_id], "tags.`darkroom.kind` = 'pipeline'"
    )
    assert found.data.tags["darkroom.decision"] == "refused"
    assert "expected at least 0.6" in found.data.tags["darkroom.decision_detail"]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["promotion.json"]


def test_every_promotion_has_its_record_below_the_pipeline_s_run(experiment, log_model, client):
    from tasks import tracking

    experiment.propose(log_model("first", wrong=range(40)))
    experiment.propose(log_model("better", wrong=range(10)))
    better, first = tracking.history(experiment.name)
    assert (first.champion_before, first.champion_after, first.version) == (None, 1, 1)
    assert (better.champion_before, better.champion_after, better.version) == (1, 2, 2)
    assert (better.action, better.decision, better.state) == ("promote", "promoted", "closed")
    assert better.aliases == aliases(client, experiment.name)
    record = client.get_run(better.run_id)
    parent = client.get_run(record.data.tags["mlflow.parentRunId"])
    assert (record.info.status, parent.data.tags["darkroom.kind"]) == ("FINISHED", "pipeline")
    assert [file.path for file in client.list_artifacts(better.run_id)] == ["model_card", "promotion.json"]


def test_the_version_has_a_model_card_with_the_decision_and_its_train_run_the_page(experiment, log_model, client):
    model = log_model("bad", wrong=range(100))
    experiment.propose(model)
    card = client.get_model_version(experiment.name, "1").description
    assert card.startswith(f"# {experiment.name}".replace("_", r"\_"))
    assert "**Decision: refused**" in card
    assert {"model_card.html", "model_card.md"} <= {file.path for file in client.list_artifacts(model.run_id)}


def test_a_dry_run_registers_nothing_and_is_recorded(experiment, log_model, client):
    from tasks import tracking

    experiment.propose(log_model("first", wrong=range(40)))
    dry = THRESHOLDS.model_copy(update={"mode": "dry_run"})
    decision = experiment.propose(log_model("better", wrong=range(10)), promotion=dry)
    assert (decision.decision, decision.version) == ("dry_run", None)
    assert decision.detail == "nothing moves; it would be promoted: every gate passed"
    assert aliases(client, experiment.name) == {"champion": 1}
    assert len(client.search_model_versions(f"name = '{experiment.name}'")) == 1
    assert tracking.history(experiment.name)[0].action == "dry_run"


def test_a_margin_is_asked_for_where_newer_data_would_do(experiment, log_model, client):
    experiment.propose(log_model("first", wrong=range(40)))
    newer, asked = replace(experiment.tags, data_digest="e" * 64), THRESHOLDS.model_copy(update={"margin": 0.2})
    decision = experiment.propose(log_model("better", wrong=range(10), tags=newer), newer, asked)
    assert decision.decision == "kept"
    assert decision.detail.startswith("better by 0.1500, beyond chance; expected at least 0.2")
    assert aliases(client, experiment.name)["champion"] == 1


def test_a_model_whose_gates_cannot_be_told_is_refused_by_each_of_them(experiment, log_model):
    asked = THRESHOLDS.model_copy(update={"servable": True, "sound_data": True})
    decision = experiment.propose(log_model("made_up", wrong=range(10)), promotion=asked)
    assert decision.decision == "refused"
    assert verdicts(decision) == {"threshold_test_accuracy": True, "data_validated": False, "servable": False}
    assert "whether the data were sound cannot be told" in decision.detail
    assert "expected test images in its evaluation/sample.npz" in decision.detail


def test_a_promotion_that_fails_in_its_gates_is_given_up_by_the_next(experiment, log_model, client):
    from tasks import tracking

    experiment.propose(log_model("first", wrong=range(40)))
    with (
        mock.patch("tasks.promote.comparison.champion_gates", side_effect=OSError("gone")),
        pytest.raises(OSError, match="gone"),
    ):
        experiment.propose(log_model("unlucky", wrong=range(10)))
    experiment.propose(log_model("better", wrong=range(10)))
    assert [entry.decision for entry in tracking.history(experiment.name)] == ["promoted", "interrupted", "promoted"]
    assert client.get_model_version(experiment.name, "2").tags["darkroom.decision"] == "interrupted"
    assert aliases(client, experiment.name) == {"champion": 3, "previous": 1}


def test_aliases_that_are_not_where_they_were_put_are_told_and_moved_by_the_next(experiment, log_model, client):
    from tasks import tracking

    experiment.propose(log_model("first", wrong=range(40)))
    with (
        mock.patch("tasks.tracking.promotions.move_aliases"),
        pytest.raises(DarkroomError, match="champion at 1 instead of 2"),
    ):
        experiment.propose(log_model("better", wrong=range(10)))
    with tracking.registry_held(experiment.name):
        (sentence,) = tracking.reconcile(experiment.name)
    assert "carried out" in sentence
    assert aliases(client, experiment.name) == {"champion": 2, "previous": 1}


def test_what_was_moved_by_hand_since_an_interrupted_promotion_stays(experiment, log_model, client):
    from tasks import tracking

    for name, wrong in (("first", 60), ("second", 40)):
        experiment.propose(log_model(name, wrong=range(wrong)))
    with mock.patch("tasks.tracking.promotions.move_aliases"), pytest.raises(DarkroomError):
        experiment.propose(log_model("third", wrong=range(10)))
    client.set_registered_model_alias(experiment.name, "champion", "1")
    with tracking.registry_held(experiment.name):
        (sentence,) = tracking.reconcile(experiment.name)
    assert "the champion moved since (version 1): given up" in sentence
    assert aliases(client, experiment.name)["champion"] == 1


def test_aliases_without_any_record_get_one(experiment, log_model, client):
    from tasks import tracking

    experiment.propose(log_model("first", wrong=range(40)))
    experiment.propose(log_model("worse", wrong=range(70)))
    client.set_registered_model_alias(experiment.name, "champion", "2")
    with tracking.registry_held(experiment.name):
        assert len(tracking.reconcile(experiment.name)) == 1
        assert tracking.reconcile(experiment.name) == []
    found = tracking.history(experiment.name)[0]
    assert (found.action, found.champion_before, found.champion_after) == ("found", 1, 2)


def test_a_rollback_without_a_version_to_go_back_to_says_so(experiment, log_model):
    from tasks.promote.promotion import roll_back

    experiment.propose(log_model("first", wrong=range(40)))
    with pytest.raises(DarkroomError, match="a version `previous` to put back; received the aliases champion"):
        roll_back(experiment.name, None)


@pytest.mark.usefixtures("on_prefect")
def test_the_flow_proposes_the_best_by_validation_and_not_by_test(experiment, log_model, client, manifest):
    from flows.promote import promote
    from tasks.tracking import run

    lucky = log_model("lucky_on_test", wrong=range(5))
    lucky.metrics["chosen_val_accuracy"] = 0.7
    steady = log_model("steady", wrong=range(20))
    with run("pipeline", "pipeline", experiment.tags) as run_id:
        decision = promote([lucky, steady], THRESHOLDS, experiment.tags, run_id, manifest)
    assert decision.decision == "promoted"
    assert client.get_model_version(experiment.name, "1").tags["darkroom.model"] == "steady"


@pytest.mark.usefixtures("on_prefect")
def test_nothing_is_registered_where_promotion_is_disabled(experiment, log_model, client, manifest):
    from mlflow.exceptions import MlflowException

    from flows.promote import promote

    model = log_model("first", wrong=range(20))
    decision = promote([model], Promotion(mode="disabled"), experiment.tags, model.run_id, manifest)
    assert (decision.decision, decision.version) == ("disabled", None)
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(experiment.name)


# A person is asked.


@pytest.fixture
def ask(experiment, manifest, prefect_url, monkeypatch, wait_until):
    """`ask(model, {"approve": True})`: what the flow decides where a person answers so, or None: nobody answers."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.flow_runs import resume_flow_run

    from flows.promote import promote
    from tasks.tracking import run

    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    monkeypatch.setattr("flows.approval._SECONDS_BETWEEN_LOOKS", 0.1)

    def paused():
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(state={"type": {"any_": ["PAUSED"]}}))
        return [found for found in runs if experiment.name in found.name]

    def answer(said, meanwhile):
        (found,) = wait_until(paused, 60, "a paused flow run")
        meanwhile()
        resume_flow_run(found.id, run_input=said)

    def propose(model, said, seconds=60, meanwhile=lambda: None):
        asked = THRESHOLDS.model_copy(update={"mode": "approval", "approval_timeout": seconds})
        with ThreadPoolExecutor(1) as person, run("pipeline", "pipeline", experiment.tags) as run_id:
            answered = person.submit(copy_context().run, answer, said, meanwhile) if said else None
            decision = promote([model], asked, experiment.tags, run_id, manifest)
            if answered:
                answered.result()
        return decision

    return propose


@pytest.mark.usefixtures("on_prefect")
def test_a_model_that_passed_waits_for_a_yes_which_is_recorded(experiment, log_model, client, ask):
    from tasks import tracking

    waiting = []
    decision = ask(
        log_model("first", wrong=range(20)),
        {"approve": True, "by": "Ann", "because": "it is fine"},
        meanwhile=lambda: waiting.append(aliases(client, experiment.name)),
    )
    assert (decision.decision, decision.version) == ("promoted", 1)
    assert decision.gates[-1].detail == "Ann said yes: it is fine"
    assert waiting == [{"challenger": 1}]
    assert aliases(client, experiment.name) == {"champion": 1}
    entries = tracking.history(experiment.name)
    assert [(entry.action, entry.decision, entry.state) for entry in entries] == [
        ("approve", "promoted", "closed"),
        ("promote", "waiting", "closed"),
    ]
    assert "Ann said yes: it is fine" in client.get_model_version(experiment.name, "1").description


@pytest.mark.usefixtures("on_prefect")
def test_nobody_s_answer_is_a_no(experiment, log_model, client, ask):
    decision = ask(log_model("first", wrong=range(20)), None, seconds=1)
    assert (decision.decision, decision.detail) == ("refused", "nobody said yes within 1 s")
    assert aliases(client, experiment.name) == {"challenger": 1}


@pytest.mark.usefixtures("on_prefect")
def test_a_yes_does_not_help_against_a_champion_that_came_meanwhile(experiment, log_model, client, ask):
    better = log_model("better", wrong=range(5))
    model = log_model("first", wrong=range(40))
    decision = ask(model, {"approve": True, "by": "Ann"}, meanwhile=lambda: experiment.propose(better))
    assert decision.decision == "refused"
    assert verdicts(decision) == {
        "threshold_test_accuracy": True,
        "same_test_rows": True,
        "not_worse_than_champion": False,
        "worth_moving": False,
        "approved": True,
    }
    assert aliases(client, experiment.name)["champion"] == 2


@pytest.mark.usefixtures("on_prefect")
def test_a_no_is_recorded_with_who_and_why(experiment, log_model, client, ask):
    decision = ask(log_model("first", wrong=range(20)), {"approve": False, "by": "Ann", "because": "too soon"})
    assert (decision.decision, decision.detail) == ("refused", "Ann said no: too soon")
    assert aliases(client, experiment.name) == {"challenger": 1}


def test_a_server_on_which_nobody_can_answer_is_refused_before_anything_starts():
    from flows.start import check_answerable
    from pipeline_config.errors import ConfigurationError
    from pipeline_config.settings import Settings

    with pytest.raises(ConfigurationError, match="PREFECT_API_URL"):
        check_answerable(Promotion(mode="approval"), Settings(prefect_api_url=None))
    check_answerable(Promotion(mode="approval"), Settings(prefect_api_url="http://127.0.0.1:4200/api"))
    check_answerable(Promotion(), Settings(prefect_api_url=None))


@pytest.mark.usefixtures("on_prefect")
def test_on_a_prefect_server_one_promotion_alone_holds_the_registered_model(experiment, prefect_url, monkeypatch):
    from prefect.client.orchestration import get_client

    from tasks.promote.task import limit_held, limit_name

    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    monkeypatch.setattr("tasks.promote.task._SECONDS_TO_WAIT", 0.5)

    def slots():
        with get_client(sync_client=True) as client:
            limit = client.read_global_concurrency_limit_by_name(f"darkroom-registry-{experiment.name}")
        return limit.limit, limit.active_slots

    with limit_held(experiment.name):
        assert slots() == (1, 1)
        with pytest.raises(DarkroomError, match=limit_name(experiment.name)), limit_held(experiment.name):
            pass
        with limit_held("another"):
            pass
    assert slots() == (1, 0)
