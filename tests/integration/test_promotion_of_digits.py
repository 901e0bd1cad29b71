"""Real models of real digits before the registry: luck, a worse model, one that fails elsewhere, a better one."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import yaml
from PIL import Image

from pipeline_config.errors import GateRefused
from pipeline_config.settings import Settings

# A second test in this process that logs inputs: MLflow's registry of sources then knows the local one twice.
pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning"),
]

CNN = {"family": "cnn_plain", "params": {"filters": [16, 32], "dense_units": [64]}}
MODELS = [
    {"name": "weak", "train": {"epochs": 1, "learning_rate": 0.001}, **CNN},
    {"name": "good", **CNN},
    {"name": "same_by_another_seed", "train": {"seed": 1}, **CNN},
]


@pytest.fixture(scope="module")
def done(tmp_path_factory, new_home, prefect_url) -> Iterator[SimpleNamespace]:
    """All are proposed, one after the other, as people would; then one more is, that has failed on images elsewhere."""
    import mlflow
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    folder = tmp_path_factory.mktemp("promoted-digits")
    with (
        mock.patch.dict(os.environ, DARKROOM_HOME=str(new_home(folder / "home"))),
        temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
    ):
        trained = train(folder, MODELS, {"mode": "disabled"})
        proposed = [propose(trained[name]) for name in ("weak", "good", "same_by_another_seed", "weak")]
        outside = draw_elsewhere(folder / "elsewhere")
        gates = {"thresholds": {"test_accuracy": 0.95, "outside_accuracy": 0.8}, "servable": False}
        svm = {"name": "svm", "family": "linear_svm"}
        (elsewhere,) = train(folder, [svm], gates | {"mode": "disabled"}, evaluation={"outside": str(outside)}).values()
        proposed.append(propose(elsewhere))
        client = mlflow.MlflowClient(Settings().tracking_uri)
        aliases = {name: int(version) for name, version in client.get_registered_model("digits").aliases.items()}
        yield SimpleNamespace(models=trained, elsewhere=elsewhere, said=proposed, aliases=aliases)
        EventsWorker.drain_all(timeout=10)


def train(folder: Path, models: list[dict], promotion: dict, **sections: Any) -> dict[str, Any]:
    from flows.pipeline import pipeline

    experiment = {
        "name": "digits",
        "dataset": {"source": "digits"},
        "models": models,
        "split": {"validation": 0.15, "test": 0.2},
        "train": {"epochs": 12, "batch_size": 64, "learning_rate": 0.003},
        "promotion": {"servable": False, **promotion},
        **sections,
    }
    file = folder / "digits.yaml"
    file.write_text(yaml.safe_dump(experiment))
    return {model.name: model for model in pipeline(str(file)).models}


def draw_elsewhere(folder: Path) -> Path:
    """Digits as another scanner might give them: one grey value off, and every other one black on white."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in range(200):
        pixels = (digits.images[number] * 15).clip(1, 239).astype("uint8")
        path = folder / str(digits.target[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - pixels if number % 2 else pixels).save(path)
    return folder


def propose(model: Any) -> tuple[str, str]:
    from flows.promote import promote_run

    try:
        decision = promote_run(model.run_id)
    except GateRefused as refused:
        return "refused", str(refused)
    return decision.decision, decision.detail


def test_a_better_model_takes_over(done):
    weak, good = (done.models[name].metrics["test_accuracy"] for name in ("weak", "good"))
    assert weak < 0.95 < good
    assert [decision for decision, _ in done.said[:2]] == ["promoted", "promoted"]


def test_a_model_that_is_as_good_by_another_seed_does_not(done):
    decision, detail = done.said[2]
    assert decision == "kept", detail
    assert "McNemar p = " in detail


def test_a_worse_model_is_refused(done):
    decision, detail = done.said[3]
    assert decision == "refused", detail
    assert "worse beyond chance: the challenger weak" in detail
    assert "the champion (version 2)" in detail


def test_a_model_that_is_right_on_the_test_rows_and_wrong_elsewhere_is_refused_by_name(done):
    metrics = done.elsewhere.metrics
    assert metrics["test_accuracy"] > 0.97
    assert 0.4 < metrics["outside_accuracy"] < 0.6
    decision, detail = done.said[4]
    assert decision == "refused"
    assert "svm is not promoted" in detail
    assert "outside_accuracy is 0." in detail
    assert "expected at least 0.8" in detail


def test_the_champion_is_the_better_one_throughout(done):
    assert done.aliases["champion"] == 2
    assert done.aliases["previous"] == 1
