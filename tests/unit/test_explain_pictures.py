"""The folder `explain/`: which pictures a model has, on which images, and what is told of those that it has not."""

import numpy as np
import pytest
from PIL import Image

from pipeline_config.errors import DataError
from pipeline_config.experiment import Model
from tasks import predictions
from tasks.explain import explanation
from tasks.explain.explanation import write_explanation
from tasks.explain.samples import read_samples, surest
from tasks.heat_map import enlarged, laid_on
from tasks.image_id import image_id
from tasks.train.registry import build_model

CLASSES = ("american staffordshire terrier of $\\kennel$ number 1", "cat")
SIZE = (8, 8)


def build(family, **params):
    return build_model(Model(name="m", family=family, params=params), (*SIZE, 3), len(CLASSES))


@pytest.fixture(scope="module")
def images():
    """Twelve images by their ids, larger than the models', none square."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 10, 3), dtype=np.uint8)
    return {image_id(image): image for image in pixels}


def make_table(images, wrong=4, boxes=False):
    """So many rows are predicted wrong; each is surer than the one before."""
    count = len(images)
    labels, first = np.arange(count) % 2, np.linspace(0.6, 0.9, count)
    says = np.where(np.arange(count) < wrong, 1 - labels, labels)
    probabilities = np.where(says[:, None] == [0, 1], first[:, None], 1 - first[:, None])
    some = np.tile([0.1, 0.1, 0.5, 0.5], (count, 1))
    moved = some + np.outer(np.arange(count), [0.04, 0, 0, 0])
    return predictions.make_table(
        list(images), labels, None if boxes else probabilities, CLASSES, (some, moved) if boxes else None
    )


@pytest.fixture
def explain(images, tmp_path):
    def write(model, table):
        told = write_explanation(model, table, images.__getitem__, SIZE, CLASSES, tmp_path / "explain", "net")
        return told, {file.name for file in (tmp_path / "explain").glob("*")}

    yield write
    for file in tmp_path.rglob("*.png"):
        assert_sane(file)


def assert_sane(path):
    """Of a size to look at, with something on it, and nothing that runs into the edge."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert all(150 < side < 2600 for side in pixels.shape[:2])
    assert pixels.std() > 5
    for edge in (pixels[:6], pixels[-6:], pixels[:, :6], pixels[:, -6:]):
        assert (edge == 255).all()


def test_a_network_has_activations_filters_and_grad_cam(explain, images):
    told, files = explain(build("cnn_plain", filters=[4], convolutions=1, dense_units=[4]), make_table(images))
    assert files == {"activations_right.png", "activations_wrong.png", "filters.png", "grad_cam.png"}
    assert told == []


def test_without_mistakes_there_is_none_to_show_and_that_is_told(explain, images, monkeypatch):
    monkeypatch.setattr(explanation, "_write_filters", lambda *_: None)  # which takes longest, and is seen above
    told, files = explain(build("cnn_plain", filters=[4], convolutions=1, dense_units=[]), make_table(images, wrong=0))
    assert "activations_wrong.png" not in files
    assert told == ["net predicts every test image right: none is shown of the wrong ones"]


def test_a_model_of_boxes_alone_has_all_but_grad_cam(explain, images):
    model = build("class_and_box", heads=["box"], filters=[4], dense_units=[4])
    told, files = explain(model, make_table(images, boxes=True))
    assert files == {"activations_right.png", "activations_wrong.png", "filters.png"}
    assert told == ["net has no class head: nothing to show of Grad-CAM"]


def test_a_network_without_convolutions_is_told_to_have_none(explain, images):
    import keras

    pixels = keras.Input((*SIZE, 3))
    dense = keras.layers.Dense(2, activation="softmax", name="probabilities")(keras.layers.Flatten()(pixels))
    told, files = explain(keras.Model(pixels, dense), make_table(images))
    assert files == set()
    assert told == ["net has no convolution layers: nothing to show of activations, filters or Grad-CAM"]


def test_a_linear_machine_has_its_weights(explain, images):
    generator = np.random.default_rng(0)
    pixels, labels = generator.integers(0, 256, (24, *SIZE, 3), dtype=np.uint8), np.arange(24) % 2
    told, files = explain(build("linear_svm").fit(pixels, labels), make_table(images))
    assert (told, files) == ([], {"weights.png"})


# The images


def test_the_surest_right_and_wrong_images_are_chosen_whatever_the_order_of_the_rows(images):
    table = make_table(images)
    assert surest(table, True, 3).tolist() == [11, 10, 9]
    assert surest(table, False, 9).tolist() == [3, 2, 1, 0]
    shuffled = table.sample(frac=1, random_state=1)
    ids = [set(rows["image_id"].iloc[surest(rows, True, 3)]) for rows in (table, shuffled)]
    assert ids[0] == ids[1]


def test_of_boxes_the_best_and_the_worst_are_chosen(images):
    table = make_table(images, boxes=True)
    assert surest(table, True, 2).tolist() == [0, 1]
    assert surest(table, False, 2).tolist() == [11, 10]


def test_samples_have_the_models_size_and_tell_what_is_said_of_them(images):
    (sample,) = read_samples(make_table(images), images.__getitem__, SIZE, right=True, most=1)
    assert (sample.pixels.shape, sample.pixels.dtype) == ((*SIZE, 3), np.uint8)
    assert (sample.words, sample.label) == ("true cat → predicted cat, 90.0%", 1)


def test_an_image_with_other_pixels_is_refused(images):
    with pytest.raises(DataError, match="has other pixels than when the model was trained; put the image back"):
        read_samples(make_table(images), lambda name: images[name][::-1], SIZE, right=True, most=1)


def test_an_image_that_is_gone_is_refused(images):
    def read(_):
        raise FileNotFoundError(2, "No such file or directory", "cat/001.png")

    with pytest.raises(DataError, match=r"cannot be read: .*cat/001\.png"):
        read_samples(make_table(images), read, SIZE, right=False, most=1)


# What is laid on them


def test_the_more_evidence_the_darker_the_place_and_without_any_it_is_grey():
    pixels = np.full((2, 2, 3), 200, np.uint8)
    laid = laid_on(pixels, np.array([[0, 0.4], [0.7, 1]], np.float32))
    assert np.ptp(laid[0, 0]) == 0
    lightness = laid.mean(axis=-1).ravel()
    assert (np.diff(lightness) < -0.03).all()


def test_a_map_is_enlarged_to_the_image_and_stays_in_its_bounds():
    fine = enlarged(np.array([[0, 1], [0, 0]], np.float32), (40, 60))
    assert fine.shape == (40, 60)
    assert (fine.min(), fine.max()) == (0, 1)
    assert fine[:20, 30:].mean() > 0.5 > fine[20:, :30].mean()
