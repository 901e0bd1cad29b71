"""A model is evaluated, and proposed to the registry, long after it was trained: from its run's id alone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import ConfigurationError, DarkroomError, DataError
from pipeline_config.settings import Settings

# A second test in this process that logs inputs: MLflow's registry of sources then knows the local one twice.
pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, new_home, pictures, write_experiment, prefect_url) -> Iterator[SimpleNamespace]:
    """A pipeline that trained two models, and failed to evaluate the second; and MLflow's client."""
    import mlflow
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    folder = tmp_path_factory.mktemp("earlier")
    shutil.copytree(pictures, folder / "pictures")
    file = write_experiment(
        folder / "earlier.yaml", folder / "pictures", promotion={"mode": "disabled", "servable": False}
    )
    with (
        mock.patch.dict(os.environ, DARKROOM_HOME=str(new_home(folder / "home"))),
        temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
    ):
        failure = run_with_failed_evaluation(file)
        client = mlflow.MlflowClient(Settings().tracking_uri)
        runs = client.search_runs([client.get_experiment_by_name("earlier").experiment_id])
        ids = {run.info.run_name: run.info.run_id for run in runs}
        yield SimpleNamespace(
            home=folder / "home",
            pictures=folder / "pictures",
            client=client,
            ids=ids,
            failure=failure,
            predictions=predictions_of(client, ids["cnn"]),
            manifest=read_manifest(client, ids["pipeline earlier"]),
        )
        EventsWorker.drain_all(timeout=10)


@pytest.fixture
def home_folder(earlier: SimpleNamespace) -> Path:
    """The earlier pipeline's home, without what can be made again."""
    shutil.rmtree(earlier.home / "cache", ignore_errors=True)
    (earlier.home / "cache").mkdir()
    return Path(earlier.home)


def run_with_failed_evaluation(file: Path) -> str:
    from flows.outcomes import ModelsFailed
    from flows.pipeline import pipeline
    from tasks.evaluate.artifacts import write_evaluation

    def write(table: Any, read_pixels: Any, folder: Path, title: str) -> dict[str, float]:
        if title == "svm":
            raise OSError("no space for pictures")
        return write_evaluation(table, read_pixels, folder, title)

    with (
        mock.patch("tasks.evaluate.task.write_evaluation", write),
        pytest.raises(ModelsFailed, match="no space for pictures") as caught,
    ):
        pipeline(str(file))
    return str(caught.value)


def predictions_of(client: Any, run_id: str) -> pd.DataFrame:
    return pd.read_parquet(client.download_artifacts(run_id, "evaluation/predictions.parquet"))


def read_manifest(client: Any, run_id: str) -> pd.DataFrame:
    return pd.read_parquet(client.download_artifacts(run_id, "data/manifest.parquet"))


def paths(earlier: SimpleNamespace, split: str) -> list[Path]:
    rows = earlier.manifest[earlier.manifest["split"] == split]
    return [earlier.pictures / path for path in rows["path"]]


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Whatever becomes of a file within the block, it is there again afterwards."""
    content = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def done(earlier, darkroom, darkroom_here, prefect_url) -> SimpleNamespace:
    """The data grow, a training image goes, the cache is deleted; then both models are evaluated and proposed.

    The first one's evaluation in a process of its own, everything else in this one.
    """
    from flows.evaluate import evaluate_run
    from flows.promote import promote_run

    shutil.copytree(earlier.pictures / "red", earlier.pictures / "another_class")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(earlier.pictures / "red" / "000a.png")
    paths(earlier, "train")[0].unlink()
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(earlier.home)):
        evaluated = evaluate_run(earlier.ids["svm"])
        shutil.rmtree(earlier.home / "cache")
        evaluate = darkroom("evaluate", earlier.ids["cnn"], "--json", home=earlier.home, PREFECT_API_URL=prefect_url)
        promote = darkroom_here("promote", earlier.ids["svm"], "--json", home=earlier.home)
        shutil.rmtree(earlier.home / "cache")
        (earlier.home / "cache").mkdir()
        return SimpleNamespace(
            svm=evaluated, evaluate=evaluate, promote=promote, proposed=promote_run(earlier.ids["cnn"])
        )


def test_a_fresh_process_evaluates_a_model_from_its_run_s_id(earlier, done):
    assert done.evaluate.code == 0, done.evaluate.stderr
    answer = done.evaluate.answer
    run = earlier.client.get_run(earlier.ids["cnn"])
    assert (answer["status"], answer["name"], answer["family"]) == ("done", "cnn", "cnn_plain")
    assert answer["test_digest"] == run.data.tags["darkroom.test_digest"]
    assert answer["metrics"] == pytest.approx(run.data.metrics)


def test_the_predictions_are_those_of_the_pipeline_though_the_data_have_changed(earlier, done):
    assert done.evaluate.code == 0
    pd.testing.assert_frame_equal(predictions_of(earlier.client, earlier.ids["cnn"]), earlier.predictions, rtol=1e-4)


def test_metrics_are_logged_again_to_the_same_run(earlier, done):
    assert done.evaluate.code == 0
    first, second = earlier.client.get_metric_history(earlier.ids["cnn"], "test_loss")
    assert (first.step, second.step) == (0, 0)
    assert first.timestamp < second.timestamp
    assert second.value == pytest.approx(first.value, rel=1e-4)
    assert earlier.client.get_run(earlier.ids["cnn"]).data.metrics["test_loss"] == second.value


def test_the_test_rows_are_one_input_of_the_run_however_often_it_is_evaluated(earlier, done):
    assert done.evaluate.code == 0
    inputs = earlier.client.get_run(earlier.ids["cnn"]).inputs.dataset_inputs
    assert sorted(found.dataset.name for found in inputs) == ["test", "train", "validation"]


def test_a_run_whose_evaluation_had_failed_is_finished_once_it_is_evaluated(earlier, done):
    run = earlier.client.get_run(earlier.ids["svm"])
    assert "svm: OSError: no space for pictures" in earlier.failure
    assert run.info.status == "FINISHED"
    assert "darkroom.failure" not in run.data.tags
    assert run.data.metrics["test_accuracy"] == done.svm.metrics["test_accuracy"] >= 0.6
    assert set(predictions_of(earlier.client, earlier.ids["svm"])["image_id"]) == set(earlier.predictions["image_id"])


def test_the_command_proposes_a_model_from_its_run_s_id(done):
    assert done.promote.code == 0, done.promote.answer
    assert (done.promote.answer["decision"], done.promote.answer["version"]) == ("promoted", 1)


def test_a_run_that_is_not_there_cannot_be_proposed(earlier, darkroom_here):
    proposed = darkroom_here("promote", "0123456789abcdef", "--json", home=earlier.home)
    assert proposed.code == 2
    assert "no run 0123456789abcdef" in proposed.answer["error"]


def test_a_network_is_proposed_from_its_run_s_id_and_compared_with_the_champion(done):
    gates = {gate.name: gate.passed for gate in done.proposed.gates}
    assert gates["same_test_rows"]
    assert done.proposed.version == 2


# What cannot be evaluated.


def test_a_test_image_that_is_gone_is_named_with_code_3_and_the_run_stays_as_it_was(earlier):
    from flows.evaluate import evaluate_run

    gone = paths(earlier, "test")[0]
    before = earlier.client.get_run(earlier.ids["cnn"])
    with changed(gone):
        gone.unlink()
        with pytest.raises(DataError) as caught:
            evaluate_run(earlier.ids["cnn"])
    assert caught.value.exit_code == 3
    assert (
        f"1 of 20 test images are not what they were when the model was trained: {gone.parent.name}/{gone.name} is gone"
        in str(caught.value)
    )
    assert earlier.client.get_run(earlier.ids["cnn"]).to_dictionary() == before.to_dictionary()


def test_a_test_image_with_other_pixels_is_named(earlier, manifest):
    from tasks.recheck import check_test_images

    other = paths(earlier, "test")[1]
    with changed(other):
        pixels = np.array(Image.open(other))
        pixels[0, 0, 0] ^= 1
        Image.fromarray(pixels).save(other)
        with pytest.raises(DataError, match=f"{other.parent.name}/{other.name} has other pixels; put"):
            check_test_images(manifest)


def test_a_test_image_that_is_no_image_any_more_is_named(earlier, manifest):
    from tasks.recheck import check_test_images

    broken = paths(earlier, "test")[2]
    with changed(broken):
        broken.write_bytes(b"no picture")
        with pytest.raises(DataError, match=f"{broken.name} cannot be read"):
            check_test_images(manifest)


def test_a_file_with_other_bytes_and_the_same_pixels_is_the_same_image(earlier, manifest):
    from tasks.recheck import check_test_images

    packed = paths(earlier, "test")[3]
    with changed(packed):
        before = packed.read_bytes()
        Image.open(packed).save(packed, compress_level=0)
        assert packed.read_bytes() != before
        check_test_images(manifest)


@pytest.fixture
def manifest(earlier, home) -> Any:
    """The logged manifest, with the place where its pixels are."""
    from tasks import tracking
    from tasks.records import Manifest

    path, class_names = tracking.fetch_manifest(earlier.ids["pipeline earlier"], home / "cache")
    return Manifest(path, "d" * 64, "t" * 64, class_names, (16, 16), earlier.pictures, None)


def test_a_data_folder_that_is_gone_is_named_with_code_3(earlier):
    from flows.evaluate import evaluate_run

    away = earlier.pictures.rename(earlier.pictures.with_name("away"))
    try:
        with pytest.raises(DataError) as caught:
            evaluate_run(earlier.ids["cnn"])
    finally:
        away.rename(earlier.pictures)
    assert f"are not where they were: dataset.path: no folder {earlier.pictures}; put them back" in str(caught.value)
    assert "--set" not in str(caught.value)


def test_a_pipeline_s_run_is_refused_and_its_train_runs_are_named(earlier):
    from tasks import tracking

    for find in (tracking.find_trained, tracking.find_configuration):
        with pytest.raises(ConfigurationError) as caught:
            find(earlier.ids["pipeline earlier"])
        assert "expected a train run; received a pipeline run that is FAILED; give one of" in str(caught.value)
        assert f"cnn {earlier.ids['cnn']}, svm {earlier.ids['svm']}" in str(caught.value)


def test_a_run_that_holds_no_model_is_refused_with_the_reason_why_it_has_none(earlier):
    from tasks import tracking

    _, tags = tracking.find_trained(earlier.ids["cnn"])
    with pytest.raises(OSError, match="nothing"), tracking.run("train", "lost", tags) as run_id:
        raise OSError("nothing was learned")
    with pytest.raises(DarkroomError, match=r"received a train run that is FAILED \(OSError: nothing was learned\)"):
        tracking.find_trained(run_id)


def test_a_model_whose_files_are_gone_is_neither_evaluated_nor_proposed(earlier, home):
    from tasks import tracking

    trained, _ = tracking.find_trained(earlier.ids["cnn"])
    (files,) = home.glob(f"artifacts/models/{trained.model_id}")
    away = files.rename(home / "away")
    try:
        for find in (tracking.find_trained, lambda run_id: tracking.find_evaluated(run_id, home)):
            with pytest.raises(DarkroomError, match=f"expected the files of its model {trained.model_id}"):
                find(earlier.ids["cnn"])
    finally:
        away.rename(files)


def test_a_run_that_was_deleted_is_told_with_the_command_that_restores_it(earlier):
    from tasks import tracking

    _, tags = tracking.find_trained(earlier.ids["cnn"])
    with tracking.run("train", "deleted", tags) as run_id:
        pass
    earlier.client.delete_run(run_id)
    with pytest.raises(ConfigurationError, match=f"mlflow runs restore --run-id {run_id}"):
        tracking.find_trained(run_id)


def test_a_configuration_that_is_gone_is_told_in_a_sentence(earlier):
    from tasks import tracking

    (gone,) = earlier.home.glob(f"artifacts/{earlier.ids['pipeline earlier']}/artifacts/config.yaml")
    with changed(gone):
        gone.unlink()
        with pytest.raises(DarkroomError, match=r"expected its file config\.yaml"):
            tracking.find_configuration(earlier.ids["cnn"])


def test_a_run_that_is_not_there_is_told_with_code_2():
    from tasks import tracking

    with pytest.raises(ConfigurationError, match="no run 0123456789abcdef in sqlite:") as caught:
        tracking.find_trained("0123456789abcdef")
    assert caught.value.exit_code == 2
