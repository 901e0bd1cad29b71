"""Real models in a registry: proved in a process of their own, refused when their files are not what was evaluated."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment, Promotion
from pipeline_config.settings import Settings
from tasks.processes import WorkFailed
from tasks.reasons import reason

CLASSES, SIDE = ("blue", "red"), 16
MODELS = {
    "cnn": {"family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}},
    "svm": {"family": "linear_svm"},
}
# Numbers of the pictures of each colour: those to test with, and those to choose by; the others are learned from.
FIRST, LATER = (range(30, 40), range(22, 30)), (range(26, 36), range(18, 26))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, new_home, pictures) -> Iterator[SimpleNamespace]:
    """A CNN that calls everything blue and a linear machine that is always right; then again, with other test rows.

    They are logged as a pipeline logs them, but for what no promotion reads.
    """
    import mlflow

    from tasks.processes import open_nursery
    from tasks.tracking import store

    open_nursery(models_alone=True)
    folder = tmp_path_factory.mktemp("servable")
    shutil.copytree(pictures, folder / "pictures")
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(new_home(folder / "home"))):
        Settings().cache.mkdir(parents=True, exist_ok=True)
        store.client.cache_clear()
        first = log_models(folder / "pictures", split=FIRST, servable=True)
        later = log_models(folder / "pictures", split=LATER, servable=False)
        client = mlflow.MlflowClient(Settings().tracking_uri)
        yield SimpleNamespace(
            home=folder / "home", pictures=folder / "pictures", models=first, later=later, client=client
        )
        store.client.cache_clear()


def log_models(pictures: Path, split: tuple[range, range], servable: bool) -> dict[str, Any]:
    """The models of one pipeline, evaluated on the test rows of a split."""
    from tasks import manifest as manifests
    from tasks import tracking
    from tasks.input_pipeline import open_image_set
    from tasks.records import Listing, Manifest
    from tasks.tracking import RunTags

    table = manifests.conform(list_pictures(pictures, *split))
    test_digest = manifests.digest(manifests.usable(table, "test"))
    file = Settings().cache / f"{test_digest}.parquet"
    manifests.write(table, file)
    manifest = Manifest(file, manifests.digest(table), test_digest, CLASSES, (SIDE, SIDE), pictures, None)
    config = Experiment.model_validate(
        {
            "name": "servable",
            "dataset": {"source": "folder", "path": str(pictures)},
            "models": [{"name": name, **section} for name, section in MODELS.items()],
            "promotion": {"servable": servable},
        }
    )
    tags = RunTags("servable", "c" * 64, None, manifest.digest, test_digest)
    images = open_image_set(manifest, Settings().cache)
    with tracking.run("pipeline", "pipeline servable", tags) as pipeline_run_id:
        tracking.log_configuration(pipeline_run_id, config)
        tracking.log_data(pipeline_run_id, Listing(file, CLASSES, pictures, None), manifest)
        report = Settings().cache / "report"
        report.mkdir(exist_ok=True)
        (report / "validation_report.json").write_text(json.dumps({"failures": [], "expectations": []}))
        tracking.log_files(pipeline_run_id, report, "data")
        return {model.name: log_evaluated(model, images, tags, pipeline_run_id) for model in config.models}


def list_pictures(root: Path, tested: range, chosen_by: range) -> pd.DataFrame:
    from tasks.image_id import image_id

    rows = []
    for path in sorted(root.glob("*/*.png")):
        number, colour = int(path.stem), path.parent.name
        split = "test" if number in tested else "validation" if number in chosen_by else "train"
        name = image_id(np.asarray(Image.open(path)))
        rows.append((name, str(path.relative_to(root)), CLASSES.index(colour), colour, split))
    table = pd.DataFrame(rows, columns=["image_id", "path", "label", "class_name", "split"])
    return table.assign(source="folder", width=SIDE, height=SIDE, mode="RGB", format="PNG", bytes=1, status="ok")


def log_evaluated(section: Any, images: Any, tags: Any, pipeline_run_id: str) -> Any:
    from tasks import predictions, tracking
    from tasks.evaluate.metrics import test_metrics
    from tasks.prediction import predict_heads, predict_split
    from tasks.records import EvaluatedModel
    from tasks.sample import FILE, write_sample
    from tasks.train.registry import build_model

    model = build_model(section, (SIDE, SIDE, 3), len(CLASSES))
    if hasattr(model, "predict_proba"):
        positions = images.positions("train")
        model.fit(images.read(positions), images.labels[positions])
    else:
        *_, kernel, bias = model.get_weights()
        model.set_weights([*model.get_weights()[:-2], 0 * kernel, np.array([1.0, 0.0], bias.dtype)])
    table, example = predict_split(model, images, "test", CLASSES), images.read(np.arange(2))
    metrics = {"chosen_val_accuracy": 0.9, "chosen_val_loss": 0.1, **test_metrics(table)}
    with tracking.run("train", section.name, tags, pipeline_run_id) as run_id:
        folder = Settings().cache / run_id
        predictions.write(table, folder / "predictions.parquet")
        write_sample(images, folder / FILE)
        tracking.log_files(run_id, folder, "evaluation")
        tracking.log_params(run_id, {"family": section.family})
        model_id = tracking.log_model(run_id, model, example, predict_heads(model, example)["probabilities"], CLASSES)
        tracking.log_metrics(run_id, {**metrics, "fit_seconds": 1.0}, model_id)
    uri = f"models:/{model_id}"
    file = folder / "predictions.parquet"
    return EvaluatedModel(section.name, section.family, run_id, model_id, uri, file, str(tags.test_digest), metrics)


@pytest.fixture
def home_folder(trained: SimpleNamespace) -> Path:
    return Path(trained.home)


@pytest.fixture(scope="module")
def done(trained: SimpleNamespace, darkroom_here: Callable) -> SimpleNamespace:
    """A dry run; then one after the other is proposed, moved by hand, and put back."""
    home, client = trained.home, trained.client

    def run(*words: str) -> SimpleNamespace:
        return darkroom_here(*words, "--json", home=home)

    dry = propose_dry(trained)
    before = [model.name for model in client.search_registered_models()]
    cnn, svm = (run("promote", trained.models[name].run_id) for name in ("cnn", "svm"))
    cards = [client.get_model_version("servable", version).description for version in ("1", "2")]
    for alias, version in (("champion", "1"), ("previous", "2")):
        client.set_registered_model_alias("servable", alias, version)
    found = run("reconcile")
    with in_this_process():
        back = run("rollback", "servable")
    history = run("history", "servable")
    said = darkroom_here("history", "servable", home=home).said
    return SimpleNamespace(
        dry=dry, before=before, cnn=cnn, svm=svm, cards=cards, found=found, back=back, history=history, said=said
    )


def propose_dry(trained: SimpleNamespace) -> Any:
    from tasks.promote.promotion import propose
    from tasks.promote.proposal import Proposal
    from tasks.tracking import find_evaluated

    model = trained.models["svm"]
    _, tags = find_evaluated(model.run_id, Settings().cache)
    gates = Promotion(mode="dry_run", thresholds={"test_accuracy": 0.6})
    with in_this_process():
        return propose(Proposal(model, gates, replace(tags, flow_run_id="a flow"), None))


def gates(answer: dict) -> dict[str, bool]:
    return {gate["name"]: gate["passed"] for gate in answer["gates"]}


def detail(answer: dict, name: str) -> str:
    return next(gate["detail"] for gate in answer["gates"] if gate["name"] == name)


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


@contextmanager
def in_this_process() -> Iterator[None]:
    """What proves a model starts no process, which takes seconds and is seen in the promotions that `done` makes."""

    def run_here(work: Callable, arguments: tuple, hear: Callable, _: Path) -> Any:
        try:
            return work(hear, *arguments)
        except Exception as error:
            raise WorkFailed(reason(error)) from None

    with mock.patch("tasks.promote.servable.run_isolated", run_here):
        yield


def servable(trained: SimpleNamespace, name: str):
    from tasks.promote.servable import servable_gate

    model = trained.models[name]
    with in_this_process():
        return servable_gate(model.model_uri, model.run_id)


def test_a_dry_run_judges_every_gate_and_moves_nothing(done):
    names = {gate.name for gate in done.dry.gates}
    assert names == {"threshold_test_accuracy", "data_validated", "no_leak", "test_rows_apart", "servable"}
    assert done.dry.decision == "dry_run"
    assert done.dry.detail.startswith("nothing moves; it would be promoted")
    assert done.before == []


def test_a_network_and_a_linear_machine_are_proved_in_a_process_of_their_own(done):
    assert [ended.answer.get("decision") for ended in (done.cnn, done.svm)] == ["promoted"] * 2, done.cnn.answer
    assert gates(done.cnn.answer)["servable"]
    assert gates(done.svm.answer)["servable"]
    told = detail(done.svm.answer, "servable")
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
    assert [entry["champion_after"] for entry in entries] == [2, 1, 2, 1, None]
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
    with changed(file), in_this_process():
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


# The model card.


def test_the_card_tells_data_classes_gates_and_the_decision(done):
    _, card = done.cards
    for told in ("| train | 44 |", "| blue | 22 | 8 | 10 | 1.000 |", "**Decision: promoted**", "| servable | passed |"):
        assert told in card
    assert "never tried on images from elsewhere" in card.replace("It was n", "n")


def test_what_the_card_says_of_loading_the_model_works(trained, done, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", done.cards[1], re.DOTALL)
    shutil.copy(trained.pictures / "red" / "039.png", tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert "'label': 'red'" in capsys.readouterr().out


# A champion of other test rows.


@pytest.fixture
def proposed_later(trained, darkroom_here):
    return lambda: darkroom_here("promote", trained.later["cnn"].run_id, "--json", home=trained.home)


@pytest.mark.usefixtures("done")  # which leaves a champion
def test_a_champion_of_other_rows_is_evaluated_again_on_those_that_it_has_not_learned_from(trained, proposed_later):
    from tasks import tracking
    from tasks.tracking.promotions import read_decision

    ended = proposed_later()
    assert (ended.code, ended.answer["exit_code"]) == (4, 4)
    record = tracking.history("servable")[0]
    told = {gate.name: gate for gate in read_decision(record.run_id).gates}
    assert told["same_test_rows"].passed
    assert "same 12 test rows: the champion (version 2) was evaluated again" in told["same_test_rows"].detail
    assert "8 of 20 are left out, as it learned from them" in told["same_test_rows"].detail
    assert not told["not_worse_than_champion"].passed
    assert "cnn has 6 of 12 right, the champion (version 2) 12" in told["not_worse_than_champion"].detail
    file = trained.client.download_artifacts(record.run_id, "comparison/champion_predictions.parquet")
    assert len(pd.read_parquet(file)) == 20


@pytest.mark.usefixtures("done")  # which leaves a champion
def test_a_champion_that_cannot_be_evaluated_again_is_not_replaced(trained, proposed_later):
    gone = trained.pictures.rename(trained.pictures.with_name("gone"))
    try:
        ended = proposed_later()
    finally:
        gone.rename(trained.pictures)
    assert ended.code == 4
    assert "cannot be evaluated again on the challenger's: the data of run" in ended.answer["error"]
    assert "are not where they were" in ended.answer["error"]


@pytest.mark.usefixtures("done")
def test_a_champion_of_other_classes_is_not_compared(trained):
    from tasks import tracking
    from tasks.promote.champion_again import evaluate_again
    from tasks.records import Manifest

    manifest = Manifest(Path("none"), "d" * 64, "t" * 64, ("blue", "green"), (SIDE, SIDE), trained.pictures, None)
    with pytest.raises(DarkroomError, match="only the champion knows red; only the challenger knows green"):
        evaluate_again(tracking.champion("servable"), manifest)


@pytest.mark.usefixtures("done")
def test_the_champion_s_answers_stand_under_the_challenger_s_order_of_classes(trained):
    from tasks import manifest as manifests
    from tasks import predictions, tracking
    from tasks.promote.champion_again import evaluate_again
    from tasks.records import Manifest

    table = manifests.conform(list_pictures(trained.pictures, *LATER))
    file = Settings().cache / "turned.parquet"
    manifests.write(table.assign(label=1 - table["label"]), file)
    manifest = Manifest(file, "d" * 64, "e" * 64, CLASSES[::-1], (SIDE, SIDE), trained.pictures, None)
    again = evaluate_again(tracking.champion("servable"), manifest)
    assert predictions.class_names(again) == ["red", "blue"]
    assert predictions.correct(again).all()
