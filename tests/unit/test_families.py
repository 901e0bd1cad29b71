"""What every model family promises, held against each one that is found."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model, Train
from tasks import tracking
from tasks.input_pipeline import ImageSet
from tasks.train.fit import fit_model
from tasks.train.registry import build_model, checked_params, count_parameters, family_names

SHAPE = (8, 8, 3)
CLASSES = 3
CNNS = ["cnn_plain", "cnn_batchnorm"]


def model_section(family, params=None, **train):
    return Model(name="model", family=family, params=params or {}, train=Train(**train))


def smallest(family, **train):
    module, _ = checked_params(model_section(family))
    return model_section(family, module.SMALLEST, **train)


def probabilities_of(model, pixels):
    return model.predict_proba(pixels) if hasattr(model, "predict_proba") else model.predict_on_batch(pixels)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """36 images to train and 9 to validate with; each class is bright in a channel of its own."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(CLASSES), 15)
    pixels = random.integers(0, 120, (45, *SHAPE), dtype=np.uint8)
    for number, label in enumerate(labels):
        pixels[number, :, :, label] += 130
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, pixels)
    splits = ["train"] * 36 + ["validation"] * 9
    ids = [f"{number:02}" for number in range(45)]
    return ImageSet(pd.DataFrame({"image_id": ids, "label": labels, "split": splits}), path)


@pytest.fixture(scope="module", params=family_names())
def family(request):
    return request.param


@pytest.fixture(scope="module")
def trained(family, images):
    """The family's smallest model after a short training, and how the training went."""
    section = smallest(family, epochs=12, batch_size=12, learning_rate=0.01)
    model = build_model(section, SHAPE, CLASSES)
    return model, fit_model(model, images, section.train, "model")


# Every family


def test_outputs_are_probabilities_of_every_class(trained, images):
    probabilities = probabilities_of(trained[0], images.pixels[:7])
    assert probabilities.shape == (7, CLASSES)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_uint8_and_float32_pixels_give_equal_outputs(trained, images):
    pixels = np.array(images.pixels[:7])
    as_float = probabilities_of(trained[0], pixels.astype(np.float32))
    np.testing.assert_allclose(probabilities_of(trained[0], pixels), as_float, rtol=1e-6, atol=1e-7)


def test_pixels_matter(trained, images):
    probabilities = probabilities_of(trained[0], images.pixels[:CLASSES])
    assert np.ptp(probabilities, axis=0).max() > 0.1


def test_predicting_twice_gives_the_same(trained, images):
    first, second = (probabilities_of(trained[0], images.pixels[:7]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_short_training_lowers_the_loss(trained):
    losses = trained[1].history["train_loss"]
    assert losses[-1] < 0.7 * math.log(CLASSES)  # that of guessing
    assert len(losses) == 1 or losses[-1] < losses[0]


def test_saved_model_loads_without_running_code_and_predicts_the_same(trained, images, tmp_path):
    model, _ = trained
    if hasattr(model, "predict_proba"):
        import skops.io

        skops.io.dump(model, tmp_path / "model.skops")
        loaded = tracking.load_model(tmp_path)
    else:
        import keras

        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    pixels = images.pixels[:7]
    np.testing.assert_allclose(probabilities_of(loaded, pixels), probabilities_of(model, pixels), atol=1e-6)


def test_number_of_parameters_is_known(trained):
    assert count_parameters(trained[0]) > 0


def test_unknown_parameter_lists_the_known_ones(family):
    with pytest.raises(ConfigurationError) as caught:
        checked_params(model_section(family, {"no_such": 1}))
    _, known = checked_params(model_section(family))
    listed = ", ".join(sorted(known))
    assert str(caught.value).startswith(f"models.model.params.no_such: unknown key; allowed here: {listed}")


def test_parameter_of_a_wrong_type_is_refused(family):
    _, known = checked_params(model_section(family))
    for name in known:
        with pytest.raises(ConfigurationError, match=rf"models\.model\.params\.{name}: expected .*; received"):
            checked_params(model_section(family, {name: {"wrong": "type"}}))


def test_smallest_parameters_are_known_ones(family):
    module, checked = checked_params(smallest(family))
    assert checked.items() >= module.SMALLEST.items()


# Networks


@pytest.mark.parametrize("name", CNNS)
def test_loaded_network_called_directly_is_in_inference_mode(name, images, tmp_path):
    """Dropout and batch normalisation must not be in training mode when nobody says so."""
    import keras

    params = {"filters": [4], "convolutions": 1, "dense_units": [8], "dropout": 0.5}
    section = model_section(name, params, epochs=1, learning_rate=0.05)
    model = build_model(section, SHAPE, CLASSES)
    fit_model(model, images, section.train, "model")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    pixels = np.array(images.pixels[:7])
    np.testing.assert_allclose(np.asarray(loaded(pixels)), loaded.predict(pixels, verbose=0), atol=1e-6)


@pytest.mark.parametrize("name", CNNS)
def test_network_takes_images_of_any_size(name, images):
    model = build_model(smallest(name), SHAPE, CLASSES)
    enlarged = np.array(images.pixels[:2]).repeat(2, axis=1).repeat(3, axis=2)
    assert model.predict_on_batch(enlarged).shape == (2, CLASSES)


@pytest.mark.parametrize(
    ("name", "params", "shape", "outputs", "total", "trainable"),
    [
        ("cnn_plain", {}, (32, 32, 3), 10, 2_196_810, 2_196_810),
        ("cnn_batchnorm", {}, (32, 32, 3), 10, 2_200_394, 2_198_602),
        ("cnn_batchnorm", {"dropout": 0.0}, (32, 32, 3), 10, 2_200_394, 2_198_602),
        ("cnn_plain", {"filters": [32, 64, 128], "dense_units": [128, 128]}, (128, 128, 3), 2, 4_498_210, 4_498_210),
    ],
)
def test_recipe_has_its_number_of_parameters(name, params, shape, outputs, total, trainable):
    model = build_model(model_section(name, params), shape, outputs)
    assert count_parameters(model) == total
    assert sum(math.prod(weights.shape) for weights in model.trainable_weights) == trainable


@pytest.mark.parametrize("name", CNNS)
def test_dropout_follows_every_dense_layer_and_none_where_it_is_zero(name):
    for dropout, expected in ((0.25, [0.25, 0.25]), (0.0, [])):
        params = {"filters": [4], "dense_units": [8, 8], "dropout": dropout}
        model = build_model(model_section(name, params), SHAPE, CLASSES)
        assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == expected


def test_batch_normalisation_follows_every_convolution():
    params = {"filters": [4, 8], "convolutions": 2, "dense_units": [8]}
    kinds = [type(layer).__name__ for layer in build_model(model_section("cnn_batchnorm", params), SHAPE, 2).layers]
    after = [kinds[position + 1] for position, kind in enumerate(kinds) if kind == "Conv2D"]
    assert after == ["BatchNormalization"] * 4


@pytest.mark.parametrize("name", CNNS)
def test_more_poolings_than_the_image_can_be_halved_are_refused(name):
    params = {"filters": [4, 4, 4], "dense_units": [8]}
    build_model(model_section(name, params), (8, 16, 3), 2)
    with pytest.raises(ConfigurationError) as caught:
        build_model(model_section(name, params), (16, 7, 3), 2)
    sentence = str(caught.value)
    assert sentence.startswith("params.filters: 3 blocks ")
    assert re.findall(r"\d+", sentence)[-2:] == ["8", "7"]  # pixels needed, pixels there
    assert "give fewer blocks or a larger dataset.image_size" in sentence


def test_seed_decides_the_first_weights():
    def first_weights(seed):
        return build_model(smallest("cnn_plain", seed=seed), SHAPE, CLASSES).get_weights()[0]

    np.testing.assert_array_equal(first_weights(0), first_weights(0))
    assert not np.array_equal(first_weights(0), first_weights(1))


# Support vector machine


def test_machine_counts_a_coefficient_a_pixel_and_an_intercept_for_every_pair_of_classes(images):
    section = smallest("linear_svm")
    model = build_model(section, SHAPE, CLASSES)
    fit_model(model, images, section.train, "model")
    assert count_parameters(model) == 3 * (8 * 8 * 3 + 1)


def test_penalty_reaches_the_machine(images):
    """A tiny C leaves a machine with small coefficients."""

    def largest_coefficient(c):
        model = build_model(model_section("linear_svm", {"c": c}), SHAPE, CLASSES)
        fit_model(model, images, Train(), "model")
        return np.abs(model[-1].calibrated_classifiers_[0].estimator.coef_).max()

    assert largest_coefficient(1e-6) < 0.1 * largest_coefficient(1.0)


@pytest.mark.parametrize("c", [0, -1])
def test_penalty_must_be_positive(c):
    with pytest.raises(ConfigurationError, match=f"models.model.params.c: expected greater than 0; received {c}"):
        checked_params(model_section("linear_svm", {"c": c}))
