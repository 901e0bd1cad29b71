"""`darkroom predict`: what a champion, or any model of MLflow, takes files for."""

import csv
import io
import json
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from pipeline_config.errors import ConfigurationError, DarkroomError, DataError

CLASSES = ("blue", "red")


@pytest.fixture
def home_folder(served: SimpleNamespace) -> Path:
    return Path(served.home)


@pytest.fixture
def predict() -> Callable[..., SimpleNamespace]:
    """`predict("folder", experiment="cnn")`: the answer, what people are told, and what is on stdout."""
    from flows.predict import predict_paths
    from tasks.progress import console

    def run(*paths, model=None, experiment="cnn", as_csv=False):
        with console.capture() as said, redirect_stdout(io.StringIO()) as stdout:
            answer = predict_paths([str(path) for path in paths], model, experiment, as_csv)
        return SimpleNamespace(**answer, said=said.get(), stdout=stdout.getvalue())

    return run


def expected(served: SimpleNamespace, name: str, paths: list[Path]) -> dict[str, np.ndarray]:
    from tasks.prediction import predict_heads

    return predict_heads(served.models[name], np.stack([np.asarray(Image.open(path)) for path in paths]))


@pytest.mark.parametrize("name", ["cnn", "both", "svm"])
def test_every_family_answers_with_the_probabilities_of_the_model_itself(served, predict, pictures, name):
    done = predict(pictures / "red", experiment=name)
    paths = sorted((pictures / "red").iterdir())
    assert [row["path"] for row in done.predictions] == [str(path) for path in paths]
    probabilities = expected(served, name, paths)["probabilities"]
    answered = [[row["probabilities"][name] for name in CLASSES] for row in done.predictions]
    np.testing.assert_allclose(answered, probabilities, atol=1e-5)
    assert [row["label"] for row in done.predictions] == [CLASSES[best] for best in probabilities.argmax(axis=1)]
    np.testing.assert_allclose([row["confidence"] for row in done.predictions], probabilities.max(axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["both", "box"])
def test_boxes_are_told_by_their_sides(served, predict, pictures, name):
    paths = sorted((pictures / "red").iterdir())[:3]
    done = predict(*paths, experiment=name)
    boxes = [[row["box"][side] for side in ("x", "y", "width", "height")] for row in done.predictions]
    np.testing.assert_allclose(boxes, expected(served, name, paths)["box"], atol=1e-5)
    assert (done.predictions[0]["label"] is None) == (name == "box")


def test_people_see_a_table_and_which_model_it_was(predict, pictures):
    done = predict(pictures / "red" / "000.png")
    assert all(word in done.said for word in ("confidence", "000.png", "1 of 1 files classified by models:/cnn/1"))
    assert not done.stdout


def test_csv_on_stdout_has_a_column_a_class_and_empty_cells_for_what_is_not_known(predict, pictures, tmp_path):
    (tmp_path / "notes, mine.txt").write_text("no image")
    done = predict(pictures / "red" / "000.png", tmp_path, as_csv=True)
    image, text = csv.DictReader(io.StringIO(done.stdout))
    assert float(image["probability.blue"]) + float(image["probability.red"]) == pytest.approx(1)
    assert image["label"] in CLASSES
    assert (image["box_x"], image["note"]) == ("", "")
    assert (text["path"], text["label"], text["note"]) == (
        str(tmp_path / "notes, mine.txt"),
        "",
        "cannot be opened: not an image",
    )


def test_folders_and_globs_are_looked_through_and_every_file_is_one_row(predict, pictures):
    done = predict(pictures, f"{pictures}/*/000.png", f"{pictures}/**/001.png", experiment="svm")
    assert len(done.predictions) == 80
    assert len(predict(f"{pictures}/*/00[01].png").predictions) == 4


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind that makes trouble, and one that makes none."""
    root = tmp_path_factory.mktemp("odd")
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    red.save(root / "sound.png")
    (root / "text.jpg").write_text("no image")
    (root / "empty.png").touch()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    noise.save(root / "cut.png")
    os.truncate(root / "cut.png", 400)
    with (root / "large.png").open("wb") as large:
        large.truncate(50_000_000)
    Image.new("1", (20_000, 20_000)).save(root / "bomb.png")
    red.resize((1, 1)).save(root / "dot.png")
    red.save(root / "animated.gif", save_all=True, append_images=[blue])
    red.convert("CMYK").save(root / "cmyk.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    red.save(root / "turned.jpg", exif=turned)
    os.mkfifo(root / "pipe.png")
    (root / "nowhere.png").symlink_to(root / "gone.png")
    return root


REFUSED = {
    "text.jpg": "cannot be opened: not an image",
    "empty.png": "cannot be opened: not an image",
    "cut.png": "cannot be opened: ",
    "large.png": "cannot be opened: expected at most 32 MB; received 50.0 MB",
    "bomb.png": "decompression bomb",
    "dot.png": "1×1 pixels show nothing; expected at least 4 a side",
    "pipe.png": "cannot be opened: not a file",
    "nowhere.png": "cannot be opened: No such file or directory",
}
TAKEN = {
    "sound.png": "",
    "animated.gif": "it holds several pictures, of which the first was taken",
    "cmyk.jpg": "its CMYK colours were converted to RGB",
    "turned.jpg": "it was turned upright by its EXIF orientation",
}


def test_every_odd_file_has_a_sentence_in_its_row_and_the_others_are_classified(predict, odd_files):
    rows = {Path(row["path"]).name: row for row in predict(odd_files).predictions}
    assert rows.keys() == REFUSED.keys() | TAKEN.keys()
    for name, row in rows.items():
        assert (row["label"] is None) == (name in REFUSED), row
        assert (REFUSED | TAKEN)[name] in row["note"], row
        assert bool(row["note"]) == (name != "sound.png")
        assert "Error" not in row["note"]


def test_a_picture_is_turned_before_it_is_classified(predict, tmp_path):
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned clockwise by 90 degrees
    upright.rotate(90).save(tmp_path / "turned.png", exif=orientation)
    upright.save(tmp_path / "upright.png")
    turned, straight = predict(tmp_path / "turned.png", tmp_path / "upright.png").predictions
    assert turned["probabilities"] == pytest.approx(straight["probabilities"], abs=1e-6)


def test_names_without_a_file_are_rows_too(predict, pictures, tmp_path):
    (tmp_path / "none").mkdir()
    done = predict("gone.png", tmp_path / "none", "*.nothing", "n" * 5_000, pictures / "red" / "000.png")
    notes = [row["note"] for row in done.predictions]
    nothing = "no file or folder has this name"
    assert notes == [nothing, "no file is in this folder", nothing, nothing, ""]


def test_where_nothing_can_be_used_the_code_is_3_and_the_rows_are_told_all_the_same(predict, odd_files):
    with pytest.raises(
        DataError, match=r"the file cannot be used: .*text\.jpg: cannot be opened: not an image"
    ) as caught:
        predict(odd_files / "text.jpg")
    assert caught.value.answer["predictions"][0]["note"] == "cannot be opened: not an image"
    assert caught.value.exit_code == 3


# Which model.


@pytest.mark.parametrize(
    "name", ["models:/cnn/1", "models:/cnn@champion", "cnn@champion", "champion", "run", "uri", None]
)
def test_a_model_has_many_names(served, name):
    from tasks.tracking import find_model, open_model

    named = {"run": served.run_ids["cnn"], "uri": f"models:/{served.model_ids['cnn']}"}.get(name, name)
    found = open_model(find_model(named, "cnn"))
    assert (found.class_names, found.image_size) == (CLASSES, (16, 16))


def test_several_champions_are_named_and_the_only_one_with_an_alias_needs_no_experiment(served):
    from tasks.tracking import find_model

    with pytest.raises(ConfigurationError, match=r"models of 4 experiments with it: both, box, cnn, svm.*--experiment"):
        find_model(None, None)
    served.client.set_registered_model_alias("svm", "previous", "1")
    assert find_model("previous", None) == "models:/svm/1"


@pytest.mark.parametrize("name", ["cnn@nothing", "nobody@champion", "previously", "models:/nobody/7", "models:/m-none"])
def test_a_model_that_is_not_there_is_told_in_a_sentence(name):
    from tasks.tracking import find_model, open_model

    with pytest.raises(ConfigurationError, match=f"{name}|cnn@{name}"):
        open_model(find_model(name, "cnn"))


def test_a_model_of_another_program_and_a_broken_one_are_told_in_a_sentence(tmp_path):
    from tasks.tracking import fetch_model, open_model

    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_model(str(tmp_path / "nothing"))
    folder = fetch_model("models:/cnn/1", tmp_path / "model")
    next(folder.rglob("*.keras")).write_bytes(b"broken")
    with pytest.raises(DarkroomError, match="its files cannot be loaded"):
        open_model(str(folder))
    (folder / "MLmodel").write_text("flavors: {}")
    with pytest.raises(ConfigurationError, match="with its class names and image size"):
        open_model(str(folder))


# The command.


@pytest.fixture
def command() -> Callable[..., SimpleNamespace]:
    """`command("predict", …)`: its exit code and what is on stdout; in this process, since it needs no Prefect."""
    from flows.cli import app
    from tasks.progress import console

    def run(*arguments):
        quiet = console.quiet
        try:
            with redirect_stdout(io.StringIO()) as stdout, console.capture() as said:
                code = app([str(argument) for argument in arguments], standalone_mode=False)
        finally:
            console.quiet = quiet
        return SimpleNamespace(code=code, stdout=stdout.getvalue(), said=said.get())

    return run


def test_the_command_answers_in_json_and_without_a_flow(command, pictures):
    with mock.patch("flows.start._start_temporary_server", side_effect=AssertionError):
        done = command("predict", pictures / "blue" / "000.png", "--experiment", "svm", "--json")
    answer = json.loads(done.stdout)
    assert (done.code, answer["status"], answer["model_uri"]) == (0, "done", "models:/svm/1")
    assert answer["predictions"][0]["label"] == "blue"


def test_csv_and_json_at_once_are_refused_with_code_2(command):
    done = command("predict", "x.png", "--csv", "--json")
    assert (done.code, json.loads(done.stdout)["exit_code"]) == (2, 2)
    assert "expected one of --csv and --json" in json.loads(done.stdout)["error"]


def test_an_error_beside_csv_is_told_on_stderr(command):
    done = command("predict", "gone.png", "--experiment", "cnn", "--csv")
    assert done.code == 3
    assert "darkroom: the file cannot be used: gone.png: no file or folder has this name" in done.said
    assert "gone.png,,," in done.stdout
