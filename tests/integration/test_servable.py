"""Real models in a registry: proved in a process of their own, refused when their files are not what was evaluated."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from pipeline_config.settings import Settings

pytestmark = [
    pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning"),
    # Great Expectations imports what it finds of Google's clients, which ask for more of them.
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
PROMOTION = {"mode": "dry_run", "thresholds": {"test_accuracy": 0.6}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, new_home, pictures, write_experiment, prefect_url) -> Iterator[SimpleNamespace]:
    """A CNN and a linear machine, evaluated; the pipeline's promotion was a dry run."""
    import mlflow
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    from flows.pipeline import pipeline

    folder = tmp_path_factory.mktemp("servable")
    file = write_experiment(folder / "servable.yaml", pictures, promotion=PROMOTION)
    with (
        mock.patch.dict(os.environ, DARKROOM_HOME=str(new_home(folder / "home"))),
        temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
    ):
        result = pipeline(str(file))
        client = mlflow.MlflowClient(Settings().tracking_uri)
        models = {model.name: model for model in result.models}
        yield SimpleNamespace(home=folder / "home", decision=result.decision, models=models, client=client)
        EventsWorker.drain_all(timeout=10)


@pytest.fixture
def home_folder(trained: SimpleNamespace) -> Path:
    return Path(trained.home)


@pytest.fixture(scope="module")
def done(trained: SimpleNamespace, darkroom_here: Callable) -> SimpleNamespace:
    """One after the other is proposed, then the first is put back."""
    home = trained.home

    def run(*words: str) -> SimpleNamespace:
        return darkroom_here(*words, "--json", home=home)

    before = registered(trained)
    cnn, svm = (run("promote", trained.models[name].run_id) for name in ("cnn", "svm"))
    trained.client.set_registered_model_alias("servable", "previous", "2")  # by hand
    found = run("reconcile")
    back = run("rollback", "servable")
    history = run("history", "servable")
    said = darkroom_here("history", "servable", home=home).said
    return SimpleNamespace(before=before, cnn=cnn, svm=svm, found=found, back=back, history=history, said=said)


def registered(trained: SimpleNamespace) -> list[str]:
    return [model.name for model in trained.client.search_registered_models()]


def gates(answer: dict) -> dict[str, bool]:
    return {gate["name"]: gate["passed"] for gate in answer["gates"]}


def model_files(trained: SimpleNamespace, name: str) -> Path:
    (file,) = trained.home.glob(f"artifacts/models/{trained.models[name].model_id}/artifacts/MLmodel")
    return file.parent


@contextmanager
def changed(file: Path) -> Iterator[Path]:
    """Whatever becomes of a file within the block, it is there again afterwards."""
    content = file.read_bytes()
    try:
        yield file
    finally:
        file.write_bytes(content)


def servable(trained: SimpleNamespace, name: str):
    from tasks.promote.servable import servable_gate

    model = trained.models[name]
    return servable_gate(model.model_uri, model.run_id)


def test_a_dry_run_judges_every_gate_and_moves_nothing(trained, done):
    names = {gate.name for gate in trained.decision.gates}
    assert names == {"threshold_test_accuracy", "data_validated", "no_leak", "test_rows_apart", "servable"}
    assert trained.decision.decision == "dry_run"
    assert trained.decision.detail.startswith("nothing moves; it would be promoted")
    assert done.before == []


def test_a_network_and_a_linear_machine_are_proved_in_a_process_of_their_own(done):
    assert done.cnn.answer["decision"] == "promoted"
    assert gates(done.cnn.answer)["servable"]
    assert gates(done.svm.answer)["servable"]
    told = next(gate["detail"] for gate in done.svm.answer["gates"] if gate["name"] == "servable")
    assert told.startswith("models:/servable/2 was loaded in a process of its own; for 16 test images")


def test_the_version_before_the_champion_is_put_back_and_recorded(trained, done):
    assert (done.back.code, done.back.answer["decision"]) == (0, "rolled_back")
    assert gates(done.back.answer) == {"servable": True}
    aliases = trained.client.get_registered_model("servable").aliases
    assert {name: int(version) for name, version in aliases.items() if name != "challenger"} == {
        "champion": 2,
        "previous": 1,
    }


def test_history_tells_every_promotion_and_who_did_it(done):
    entries = done.history.answer["history"]
    assert [entry["action"] for entry in entries] == ["rollback", "found", "promote", "promote", "dry_run"]
    assert [entry["champion_after"] for entry in entries] == [2, 1, 1, 1, None]
    assert all(entry["user"] and entry["state"] == "closed" for entry in entries)
    assert all(entry["flow_run_id"] for entry in entries if entry["action"] != "found")
    assert "1 → 2" in done.said


def test_an_alias_that_was_moved_by_hand_is_recorded_by_reconcile(done):
    (sentence,) = done.found.answer["experiments"]["servable"]
    assert "champion 1, previous 2" in sentence


def test_a_model_with_a_lambda_is_refused(trained):
    import keras

    code = keras.layers.Lambda(lambda pixels: keras.ops.softmax(pixels[:, 0, 0, :2]))
    network = keras.Sequential([keras.Input((None, None, 3)), code])
    (file,) = model_files(trained, "cnn").rglob("*.keras")
    with changed(file):
        network.save(file)
        gate = servable(trained, "cnn")
    assert not gate.passed
    assert "lambda" in gate.detail.lower()


def test_a_model_whose_files_are_broken_is_refused(trained):
    (file,) = model_files(trained, "svm").rglob("*.skops")
    with changed(file):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        gate = servable(trained, "svm")
    assert not gate.passed
    assert "cannot be loaded" in gate.detail


def test_a_model_with_other_weights_than_were_evaluated_is_refused(trained):
    import keras

    (file,) = model_files(trained, "cnn").rglob("*.keras")
    with changed(file):
        network = keras.saving.load_model(file)
        network.set_weights([1.5 * weight for weight in network.get_weights()])
        network.save(file)
        gate = servable(trained, "cnn")
    assert not gate.passed
    assert "its files are not those that were evaluated" in gate.detail


def test_a_run_without_a_sample_says_how_it_gets_one(trained):
    run_id = trained.models["svm"].run_id
    (file,) = trained.home.glob(f"artifacts/{run_id}/artifacts/evaluation/sample.npz")
    with changed(file):
        file.unlink()
        gate = servable(trained, "svm")
    assert not gate.passed
    assert f"darkroom evaluate {run_id}" in gate.detail


@pytest.mark.usefixtures("done")
def test_a_rollback_to_a_broken_version_is_refused_and_recorded(trained, darkroom_here):
    before = dict(trained.client.get_registered_model("servable").aliases)
    (file,) = model_files(trained, "cnn").rglob("*.keras")
    with changed(file):
        file.write_bytes(b"no model")
        refused = darkroom_here("rollback", "servable", "--json", home=trained.home)
    assert refused.code == 4
    assert "version 2 stays champion" in refused.answer["error"]
    assert dict(trained.client.get_registered_model("servable").aliases) == before
    history = darkroom_here("history", "servable", "--json", home=trained.home).answer["history"]
    assert (history[0]["action"], history[0]["decision"]) == ("rollback", "refused")


@pytest.mark.usefixtures("done")
def test_an_experiment_that_has_no_registered_model_is_named_with_those_that_have_one(trained, darkroom_here):
    ended = darkroom_here("rollback", "servabel", "--json", home=trained.home)
    assert ended.code == 2
    assert "did you mean servable" in ended.answer["error"].replace("'", "")
