"""Images from outside the data set: which folders and images are taken, what is measured, what is drawn."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Dataset
from pipeline_config.metric_names import HIGHER_IS_BETTER
from tasks import manifest as manifests
from tasks import picture_style, predictions
from tasks.evaluate.outside import evaluate_outside, outside_metrics
from tasks.evaluate.outside_gallery import draw_outside, wrong_first
from tasks.evaluate.outside_images import make_outside_manifest
from tasks.image_id import image_id
from tasks.images import decode
from tasks.ingest.listing import list_dataset
from tasks.ingest.outside_dataset import outside_dataset
from tasks.input_pipeline import resize
from tasks.records import Manifest
from tasks.validate.inspection import inspect_images

CLASSES = ("Bears", "Pandas")


def draw(path, seed, size=(20, 14)):
    """A picture of noise, written in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# Which folders stand for which classes.


@pytest.fixture
def classes_of(tmp_path):
    """`classes_of(["cane"], ("dog",), {"cane": "dog"})`: class that each outside folder is listed under."""

    def resolve(folders, class_names, renamed=None):
        for seed, name in enumerate(folders):
            draw(tmp_path / "outside" / name / "one.png", seed)
        section = Dataset(source="digits", class_names=renamed or {})
        outside = outside_dataset(str(tmp_path / "outside"), section, class_names)
        listing = list_dataset(outside, tmp_path, tmp_path / "cache")
        table = pd.read_parquet(listing.path)
        return {path.split("/")[0]: name for path, name in zip(table["path"], table["class_name"], strict=True)}

    return resolve


def test_not_every_class_needs_a_folder(classes_of):
    assert classes_of(["Pandas"], CLASSES) == {"Pandas": "Pandas"}


def test_a_folder_may_have_the_source_s_name_of_a_class_or_the_reported_one(classes_of):
    renamed = {"cane": "dog", "ragno": "spider", "gatto": "cat"}
    found = classes_of(["cane", "dog", "spider"], ("dog", "spider", "cat"), renamed)
    assert found == {"cane": "dog", "dog": "dog", "spider": "spider"}


def test_other_case_is_forgiven(classes_of):
    assert classes_of(["bears", "PANDAS"], CLASSES) == {"bears": "Bears", "PANDAS": "Pandas"}


def test_other_case_of_two_names_is_not_guessed(classes_of):
    with pytest.raises(ConfigurationError, match="received 'POLISH'"):
        classes_of(["POLISH"], ("shoe", "language"), {"polish": "shoe", "Polish": "language"})


def test_a_folder_that_is_no_class_is_refused_with_the_classes_and_what_was_meant(classes_of):
    with pytest.raises(ConfigurationError) as caught:
        classes_of(["Bears", "Pandsa"], CLASSES)
    sentence = str(caught.value)
    assert caught.value.exit_code == 2
    assert sentence.startswith("evaluation.outside: expected one folder a class in ")
    assert "named as a class of the data set: Bears, Pandas; received 'Pandsa'; did you mean 'Pandas'?" in sentence


def test_a_class_that_the_data_set_leaves_out_is_no_class_of_it(classes_of):
    with pytest.raises(ConfigurationError, match="received 'gatto'"):
        classes_of(["gatto"], ("dog",), {"gatto": "cat", "cane": "dog"})


@pytest.mark.parametrize("made", [(), ("outside",), ("outside", "Bears")], ids=["missing", "empty", "no images"])
def test_a_folder_without_images_is_told_by_its_own_key(tmp_path, made):
    tmp_path.joinpath(*made).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError) as caught:
        outside_dataset(str(tmp_path / "outside"), Dataset(source="digits"), CLASSES)
    assert str(tmp_path / "outside") in str(caught.value)
    assert "evaluation.outside" in str(caught.value)
    assert "dataset.path" not in str(caught.value)


def test_a_wrong_folder_stops_a_run_before_it_starts(tmp_path):
    from flows.start import load_checked

    for name in CLASSES:
        draw(tmp_path / "data" / name / "one.png", 0)
    draw(tmp_path / "outside" / "Wolves" / "one.png", 0)
    file = tmp_path / "experiment.yaml"
    source = f"dataset: {{source: folder, path: {tmp_path / 'data'}}}"
    file.write_text(f"name: small\n{source}\nmodels: [{{name: svm, family: linear_svm}}]\n")
    load_checked(str(file), [])
    with pytest.raises(ConfigurationError, match="Bears, Pandas; received 'Wolves'"):
        load_checked(str(file), [f"evaluation.outside={tmp_path / 'outside'}"])


# Which images count.


@pytest.fixture
def photographs(tmp_path):
    """A data set of a training image, a test image that it has twice, and one that is not used; `find()` reads the
    folder `outside`, which is empty."""
    inside = [draw(tmp_path / "data" / f"{seed}.png", 100 + seed) for seed in range(3)]
    training, test, unused = (image_id(decode(path.read_bytes()).pixels) for path in inside)
    table = pd.DataFrame({"image_id": [training, test, unused, test], "label": 0, "class_name": "Bears", "bytes": 1})
    table = table.assign(split=["train", "test", None, None], status=["ok", "ok", "ok", "copy"])
    manifests.write(manifests.conform(table), tmp_path / "manifest.parquet")
    manifest = Manifest(tmp_path / "manifest.parquet", "d" * 64, "t" * 64, CLASSES, (8, 10), tmp_path / "data", None)
    outside = tmp_path / "outside"

    def list_them():
        return list_dataset(Dataset(source="folder", path=outside), tmp_path, tmp_path / "cache")

    def find():
        return make_outside_manifest(list_them(), manifest, tmp_path / "cache")

    return SimpleNamespace(inside=inside, outside=outside, cache=tmp_path / "cache", list_them=list_them, find=find)


def test_images_of_any_size_and_format_are_taken_with_the_data_set_s_labels(photographs):
    for seed, name in enumerate(["a.png", "b.jpg", "c.webp", "deeper/d.gif"]):
        draw(photographs.outside / "Pandas" / name, seed, size=(30 + seed, 9))
    manifest, left_out = photographs.find()
    table = manifests.read(manifest.path)

    assert left_out == ()
    assert (manifest.class_names, manifest.image_size) == (CLASSES, (8, 10))
    assert table["path"].tolist() == [f"Pandas/{name}" for name in ("a.png", "b.jpg", "c.webp", "deeper/d.gif")]
    assert set(table["label"]) == {1}
    assert table["width"].tolist() == [30, 31, 32, 33]


def test_an_image_has_the_id_that_the_checks_of_the_data_give_it(photographs):
    draw(photographs.outside / "Bears" / "a.png", 0)
    manifest, _ = photographs.find()
    facts = inspect_images(photographs.list_them(), photographs.cache)
    assert manifests.read(manifest.path)["image_id"].tolist() == facts["image_id"].tolist()


def test_images_of_the_data_set_s_splits_are_left_out_and_named(photographs):
    draw(photographs.outside / "Bears" / "new.png", 0)
    for path, name in zip(photographs.inside, ["training", "test", "unused"], strict=True):
        Image.open(path).save(photographs.outside / "Bears" / f"{name}.bmp")  # another file of equal pixels
    manifest, left_out = photographs.find()

    assert manifests.read(manifest.path)["path"].tolist() == ["Bears/new.png", "Bears/unused.bmp"]
    assert set(left_out) == {
        "outside images left out (in the data set already: test): Bears/test.bmp",
        "outside images left out (in the data set already: train): Bears/training.bmp",
    }


def test_what_cannot_be_opened_is_left_out_and_named(photographs):
    draw(photographs.outside / "Bears" / "whole.png", 0)
    cut = draw(photographs.outside / "Bears" / "cut.png", 1)
    cut.write_bytes(cut.read_bytes()[:200])
    (photographs.outside / "Bears" / "readme.txt").write_text("no picture")
    manifest, left_out = photographs.find()

    assert manifests.read(manifest.path)["path"].tolist() == ["Bears/whole.png"]
    assert "outside images left out (cannot be opened: not an image): Bears/readme.txt" in left_out
    assert any("cannot be opened" in sentence and "Bears/cut.png" in sentence for sentence in left_out)


def test_a_copy_counts_once_and_a_picture_in_two_classes_not_at_all(photographs):
    first = draw(photographs.outside / "Bears" / "a.png", 0)
    shutil.copy(first, first.with_name("b.png"))
    doubtful = draw(photographs.outside / "Bears" / "c.png", 1)
    (photographs.outside / "Pandas").mkdir()
    shutil.copy(doubtful, photographs.outside / "Pandas" / "d.png")
    manifest, left_out = photographs.find()

    assert manifests.read(manifest.path)["path"].tolist() == ["Bears/a.png"]
    assert set(left_out) == {
        "outside images left out (a copy of another one): Bears/b.png",
        "outside images left out (in the folders of two classes): Bears/c.png, Pandas/d.png",
    }


def test_where_no_image_is_left_there_is_no_manifest(photographs):
    (photographs.outside / "Bears").mkdir(parents=True)
    shutil.copy(photographs.inside[0], photographs.outside / "Bears" / "a.png")
    assert photographs.find()[0] is None
    (photographs.outside / "Bears" / "a.png").write_bytes(b"no picture")
    assert photographs.find()[0] is None


def test_of_many_that_are_left_out_the_first_are_named(photographs):
    (photographs.outside / "Bears").mkdir(parents=True)
    for number in range(23):
        (photographs.outside / "Bears" / f"{number:02}.png").write_bytes(b"no picture")
    (sentence,) = photographs.find()[1]
    assert sentence.endswith("Bears/19.png, and 3 more")


# What is measured.


class Reddish:
    """A classifier that is the surer of pandas the redder an image is."""

    def predict_proba(self, pixels):
        red = pixels[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([1 - red, red], axis=1)


def test_outside_images_are_predicted_at_the_models_size_and_their_figures_logged(photographs):
    for name, colour in {"Bears/a.png": (10, 9, 9), "Bears/b.jpg": (250, 0, 0), "Pandas/c.png": (240, 9, 9)}.items():
        path = draw(photographs.outside / name, 0, size=(33, 21))
        Image.blend(Image.open(path), Image.new("RGB", (33, 21), colour), 0.9).save(path)
    outside, _ = photographs.find()
    folder = photographs.cache / "evaluation"
    metrics = evaluate_outside(Reddish(), outside, photographs.cache, folder, "cnn", {"test_accuracy": 0.9})

    table = predictions.read(folder / "outside_predictions.parquet")
    paths = manifests.read(outside.path).set_index("image_id")["path"]
    for row, name in enumerate(table["image_id"].map(paths)):
        pixels = resize(decode((photographs.outside / name).read_bytes()).pixels, (8, 10))
        assert predictions.probabilities(table)[row] == pytest.approx(Reddish().predict_proba(pixels[None])[0])
        assert CLASSES[predictions.labels(table)[row]] == name.split("/")[0]
    assert predictions.class_names(table) == list(CLASSES)
    assert metrics["outside_accuracy"] == pytest.approx(2 / 3)
    assert metrics["outside_gap"] == pytest.approx(0.9 - 2 / 3)
    assert {file.name for file in folder.iterdir()} == {"outside_predictions.parquet", "outside.png"}


def test_a_model_of_boxes_alone_is_not_asked(photographs):
    draw(photographs.outside / "Bears" / "a.png", 0)
    outside, _ = photographs.find()
    folder = photographs.cache / "evaluation"
    assert evaluate_outside(None, outside, photographs.cache, folder, "boxes", {"test_mean_iou": 0.9}) == {}
    assert not folder.exists()


def make_table(said, labels=None, confidence=None):
    """Predictions of two classes."""
    said = np.asarray(said)
    sure = np.full(len(said), 0.8) if confidence is None else np.asarray(confidence, dtype=float)
    probabilities = np.where(np.eye(2, dtype=bool)[said], sure[:, None], 1 - sure[:, None])
    ids = [f"{row:064x}" for row in range(len(said))]
    return predictions.make_table(ids, np.zeros(len(said), int) if labels is None else labels, probabilities, CLASSES)


def test_every_metric_can_be_a_threshold_and_a_smaller_gap_is_better():
    metrics = outside_metrics(make_table([0, 0, 0, 1]), 1.0)
    assert metrics["outside_accuracy"] == 0.75
    assert metrics["outside_accuracy_low"] < 0.75 < metrics["outside_accuracy_high"] <= 1
    assert {name: HIGHER_IS_BETTER[name] for name in metrics} == {
        "outside_accuracy": True,
        "outside_accuracy_low": True,
        "outside_accuracy_high": True,
        "outside_gap": False,
    }


def test_a_few_hits_are_no_certainty():
    metrics = outside_metrics(make_table([0] * 5), 1.0)
    assert (metrics["outside_accuracy"], metrics["outside_accuracy_high"], metrics["outside_gap"]) == (1, 1, 0)
    assert metrics["outside_accuracy_low"] == pytest.approx(0.478, abs=0.001)  # 0.025 ** (1 / 5), Clopper and Pearson


# What is drawn.


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.6, 0.75, 0.9])), min_size=1, max_size=60), st.randoms())
def test_wrong_ones_come_first_then_the_least_sure_whatever_the_order_of_rows(rows, random):
    said, confidence = zip(*rows, strict=True)
    table = make_table(np.array(said, int), confidence=confidence)
    order = wrong_first(table, 36)
    wrong, sure = ~predictions.correct(table)[order], predictions.probabilities(table).max(axis=1)[order]

    assert len(set(order)) == len(order) == min(len(rows), 36)
    assert wrong.sum() == min(sum(said), 36)
    assert (np.diff(wrong.astype(int)) <= 0).all()
    assert (np.diff(sure[wrong]) <= 0).all()
    assert (np.diff(sure[~wrong]) >= 0).all()
    shuffled = table.sample(frac=1, random_state=random.randrange(100))
    assert shuffled["image_id"].iloc[wrong_first(shuffled, 36)].tolist() == table["image_id"].iloc[order].tolist()


def coloured(path, colour):
    """Pixels of exactly this colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    for edge in (pixels[:6], pixels[-6:], pixels[:, :6], pixels[:, -6:]):
        assert (edge == 255).all()  # nothing is cut off
    return int((pixels == [int(colour[start : start + 2], 16) for start in (1, 3, 5)]).all(axis=2).sum())


def test_right_and_wrong_are_framed_in_their_colours(tmp_path):
    asked = []

    def read_grey(name):
        asked.append(name)
        return np.full((40, 30, 3), 120, np.uint8)

    for name, said in {"right": [0, 0, 0], "wrong": [1, 1, 1], "many": [0] * 30 + [1] * 10}.items():
        draw_outside(make_table(said), read_grey, tmp_path / f"{name}.png", f"cnn: {name} of some images")

    assert coloured(tmp_path / "right.png", picture_style.WRONG) == 0
    assert coloured(tmp_path / "wrong.png", picture_style.WRONG) > 3_000
    assert coloured(tmp_path / "right.png", picture_style.RIGHT) > coloured(tmp_path / "wrong.png", picture_style.RIGHT)
    assert len(asked) == 3 + 3 + 36
    assert asked[6:16] == [f"{row:064x}" for row in range(30, 40)]
