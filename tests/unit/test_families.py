"""What every model family promises, held against each one that is found."""

import functools
import json
import math
import re
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model, Train
from tasks import tracking
from tasks.input_pipeline import ImageSet
from tasks.manifest import BOX_COLUMNS
from tasks.prediction import predict_heads
from tasks.train.fit import fit_model
from tasks.train.registry import build_model, checked_params, count_parameters, family_names

SHAPE = (32, 32, 3)  # some pretrained backbones take nothing smaller
CLASSES = 2
CNNS = ["cnn_plain", "cnn_batchnorm"]
NETWORKS = [*CNNS, "cnn_inception", "cnn_residual"]


def model_section(family, params=None, **train):
    return Model(name="model", family=family, params=params or {}, train=Train(**train))


def smallest(family, more=None, **train):
    """The family's smallest parameters, and `more` of them."""
    module, _ = checked_params(model_section(family))
    return model_section(family, {**module.SMALLEST, **(more or {})}, **train)


def is_network(model):
    return not hasattr(model, "predict_proba")


def probabilities_of(model, pixels):
    return predict_heads(model, pixels)["probabilities"]


def kinds_of(model):
    """Names of the layers' classes after input and rescaling, `Conv2D 3` with the side of its kernel."""
    return [
        f"Conv2D {layer.kernel_size[0]}" if hasattr(layer, "kernel_size") else type(layer).__name__
        for layer in model.layers[2:]
    ]


@pytest.fixture(scope="module")
def make_images(tmp_path_factory):
    """`make_images(3, 36, 9)`: so many classes, images to train and to validate with; each class is bright in a channel
    of its own."""

    def make(classes, train, validation):
        count = train + validation
        labels = np.arange(count) % classes
        pixels = np.random.default_rng(0).integers(0, 120, (count, *SHAPE), dtype=np.uint8)
        for number, label in enumerate(labels):
            pixels[number, :, :, label] += 130
        path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
        np.save(path, pixels)
        splits = ["train"] * train + ["validation"] * validation
        ids = [f"{number:02}" for number in range(count)]
        boxes = dict.fromkeys(BOX_COLUMNS, 0.25)  # for the families with a box head
        return ImageSet(pd.DataFrame({"image_id": ids, "label": labels, "split": splits, **boxes}), path)

    return make


@pytest.fixture(scope="module")
def images(make_images):
    return make_images(CLASSES, 8, 4)


@pytest.fixture(scope="module", params=family_names())
def family(request):
    return request.param


@pytest.fixture(scope="module")
def train_smallest(images):
    """`train_smallest(family)`: its smallest model after a few steps on eight images, and how the training went; the
    same model each time."""

    @functools.cache
    def train(family):
        section = smallest(family, epochs=10, batch_size=8, learning_rate=0.01)
        model = build_model(section, SHAPE, CLASSES)
        return model, fit_model(model, images, section.train, "model")

    return train


@pytest.fixture(scope="module")
def trained(family, train_smallest):
    return train_smallest(family)[0]


# Every family


def test_outputs_are_probabilities_of_every_class(trained, images):
    probabilities = probabilities_of(trained, images.pixels[:7])
    assert probabilities.shape == (7, CLASSES)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_uint8_and_float32_pixels_give_equal_outputs(trained, images):
    pixels = np.array(images.pixels[:7])
    as_float = probabilities_of(trained, pixels.astype(np.float32))
    np.testing.assert_allclose(probabilities_of(trained, pixels), as_float, rtol=1e-6, atol=1e-7)


def test_pixels_matter(trained, images):
    probabilities = probabilities_of(trained, images.pixels[:CLASSES])
    assert np.ptp(probabilities, axis=0).max() > 0.01


def test_predicting_twice_gives_the_same(trained, images):
    first, second = (probabilities_of(trained, images.pixels[:7]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_few_steps_lower_the_loss_on_eight_images(family, train_smallest):
    losses = train_smallest(family)[1].history["train_loss"]
    before = losses[0] if len(losses) > 1 else math.log(CLASSES)  # that of guessing
    assert losses[-1] < before


def test_number_of_parameters_is_known(trained):
    assert count_parameters(trained) > 0


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


LOAD_AND_PREDICT = """
import sys
from pathlib import Path

import keras
import numpy as np

folder = Path(sys.argv[1])
for path in folder.glob("*.keras"):
    model = keras.models.load_model(path, safe_mode=True)
    answer = model.predict_on_batch(np.load(folder / "pixels.npy"))
    np.savez(path.with_suffix(".npz"), **(answer if isinstance(answer, dict) else {"probabilities": answer}))
"""


def test_every_saved_network_predicts_the_same_in_a_fresh_process(train_smallest, images, tmp_path):
    pixels = np.array(images.pixels[:7])
    np.save(tmp_path / "pixels.npy", pixels)
    trained = {family: train_smallest(family)[0] for family in family_names()}
    networks = {family: model for family, model in trained.items() if is_network(model)}
    for family, model in networks.items():
        model.save(tmp_path / f"{family}.keras")
    command = [sys.executable, "-c", LOAD_AND_PREDICT, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(networks) >= set(NETWORKS)
    for family, model in networks.items():
        predicted = np.load(tmp_path / f"{family}.npz")
        expected = predict_heads(model, pixels)
        assert set(predicted.files) == set(expected)
        for head, values in expected.items():
            np.testing.assert_allclose(predicted[head], values, atol=1e-6, err_msg=family)


def test_saved_network_is_made_of_keras_own_layers_and_holds_no_code(trained, tmp_path):
    """Else it would load only where this project is installed, or only outside of safe mode."""
    if not is_network(trained):
        return
    trained.save(tmp_path / "model.keras")
    text = zipfile.ZipFile(tmp_path / "model.keras").read("config.json").decode()
    parts = []
    json.loads(text, object_hook=lambda part: parts.append(part) or part)
    modules = {part["module"] for part in parts if part.get("module")}
    assert "keras.layers" in modules
    assert all(module.split(".")[0] == "keras" for module in modules)
    assert not {part.get("class_name") for part in parts} & {"Lambda", "__lambda__", "function"}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("cnn_plain", {"dropout": 0.5, "block_dropout": [0.5]}),
        ("cnn_batchnorm", {"dropout": 0.5, "block_dropout": [0.5]}),
        ("cnn_inception", {}),
        ("cnn_residual", {}),
    ],
)
def test_loaded_network_called_directly_is_in_inference_mode(name, more, images, tmp_path):
    """Dropout and batch normalisation must not be in training mode when nobody says so."""
    import keras

    model = build_model(smallest(name, more), SHAPE, CLASSES)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    pixels = np.array(images.pixels[:7])
    np.testing.assert_allclose(np.asarray(loaded(pixels)), loaded.predict(pixels, verbose=0), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_takes_images_of_any_size(name, images):
    model = build_model(smallest(name), SHAPE, CLASSES)
    enlarged = np.array(images.pixels[:2]).repeat(2, axis=1).repeat(3, axis=2)
    assert model.predict_on_batch(enlarged).shape == (2, CLASSES)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(33, 47, 3), (9, 8, 3)])
def test_network_may_be_of_an_odd_size(name, shape):
    model = build_model(model_section(name, {"filters": [4, 4, 4]}), shape, CLASSES)
    assert model.predict_on_batch(np.zeros((2, *shape), np.uint8)).shape == (2, CLASSES)


R3A = {"filters": [32, 64, 128], "convolutions": 1, "block_dropout": [0, 0, 0.1], "pooling": "global_average"}
R5A = {"convolutions": 1, "normalisation": "after_pooling", "dense_units": [512], "dropout": 0}
R6A = {"convolutions": 1, "normalisation": "after_pooling", "dense_units": [], "dropout": 0}
R7A = {
    "filters": [32, 64, 128],
    "block_dropout": [0.15, 0.15],
    "dense_units": [128, 128],
    "dropout": 0.25,
    "l2": 0.001,
}


@pytest.mark.parametrize(
    ("name", "params", "shape", "outputs", "total", "trainable"),
    [
        pytest.param("cnn_plain", {}, (32, 32, 3), 10, 2_196_810, 2_196_810, id="R4a"),
        pytest.param("cnn_batchnorm", {}, (32, 32, 3), 10, 2_200_394, 2_198_602, id="R4b"),
        pytest.param("cnn_batchnorm", {"dropout": 0.0}, (32, 32, 3), 10, 2_200_394, 2_198_602, id="R4b-no-dropout"),
        pytest.param("cnn_plain", R7A, (128, 128, 3), 2, 4_498_210, 4_498_210, id="R7a"),
    ],
)
def test_recipe_has_its_number_of_parameters(name, params, shape, outputs, total, trainable):
    model = build_model(model_section(name, params), shape, outputs)
    assert count_parameters(model) == total
    assert sum(math.prod(weights.shape) for weights in model.trainable_weights) == trainable


@pytest.mark.parametrize(
    ("name", "params", "reported"),
    [
        pytest.param("cnn_plain", {"dense_units": [720]}, 4_101_450, id="R4c"),
        pytest.param("cnn_batchnorm", {"dense_units": [576], "block_dropout": [0.2, 0.3, 0.4]}, 3_514_698, id="R4d"),
    ],
)
def test_recipe_whose_layers_are_not_told_comes_within_a_thousandth_of_its_parameters(name, params, reported):
    model = build_model(model_section(name, params), (32, 32, 3), 10)
    assert count_parameters(model) == pytest.approx(reported, rel=0.001)


@pytest.mark.parametrize("name", CNNS)
def test_dropout_follows_every_dense_layer_and_none_where_it_is_zero(name):
    for dropout, expected in ((0.25, [0.25, 0.25]), (0.0, [])):
        params = {"filters": [4], "dense_units": [8, 8], "dropout": dropout}
        model = build_model(model_section(name, params), SHAPE, CLASSES)
        assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == expected


def test_dropout_of_blocks_follows_their_poolings_from_the_first_on():
    model = build_model(model_section("cnn_plain", R7A), SHAPE, 2)
    block, dense = ["Conv2D 3", "Conv2D 3", "MaxPooling2D"], ["Dense", "Dropout"]
    layers = [*block, "Dropout", *block, "Dropout", *block, "Flatten", *dense, *dense, "Dense"]
    assert kinds_of(model) == layers
    rates = [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"]
    assert rates == [0.15, 0.15, 0.25, 0.25]


@pytest.mark.parametrize("name", CNNS)
def test_more_dropouts_than_blocks_are_refused(name):
    with pytest.raises(ConfigurationError, match=r"params\.block_dropout: expected at most .* 2 blocks .*; received 3"):
        build_model(model_section(name, {"filters": [4, 4], "block_dropout": [0.1, 0.1, 0.1]}), SHAPE, 2)


@pytest.mark.parametrize("name", CNNS)
def test_l2_penalises_the_dense_layers_and_not_the_softmax(name):
    params = {"filters": [4], "dense_units": [8, 6], "l2": 0.001}
    model = build_model(model_section(name, params), SHAPE, CLASSES)
    hidden = [layer.kernel for layer in model.layers if type(layer).__name__ == "Dense"][:2]
    squares = sum(float(np.square(kernel).sum()) for kernel in map(np.asarray, hidden))
    assert float(sum(model.losses)) == pytest.approx(0.001 * squares, rel=1e-5)


@pytest.mark.parametrize("name", CNNS)
def test_global_average_hands_one_number_a_channel_to_the_dense_layers(name):
    model = build_model(
        model_section(name, R3A if name == "cnn_batchnorm" else {"pooling": "global_average"}), SHAPE, 2
    )
    assert "GlobalAveragePooling2D" in kinds_of(model)
    channels = [layer.filters for layer in model.layers if hasattr(layer, "filters")][-1]
    first_dense = next(layer for layer in model.layers if type(layer).__name__ == "Dense")
    assert first_dense.kernel.shape[0] == channels


def test_batch_normalisation_follows_every_convolution():
    params = {"filters": [4, 8], "convolutions": 2, "dense_units": [8]}
    kinds = kinds_of(build_model(model_section("cnn_batchnorm", params), SHAPE, 2))
    after = [kinds[position + 1] for position, kind in enumerate(kinds) if kind == "Conv2D 3"]
    assert after == ["BatchNormalization"] * 4


STAGE = ["Conv2D 3", "MaxPooling2D", "BatchNormalization"]


def test_batch_normalisation_may_follow_the_pooling_instead():
    kinds = kinds_of(build_model(model_section("cnn_batchnorm", R5A), SHAPE, 2))
    assert kinds == [*STAGE, *STAGE, *STAGE, "Flatten", "Dense", "Dense"]


def test_inception_block_of_four_paths_follows_the_second_stage():
    model = build_model(model_section("cnn_inception", {"filters": [4, 8, 12]}), SHAPE, CLASSES)
    plain = kinds_of(build_model(model_section("cnn_batchnorm", {**R6A, "filters": [4, 8, 12]}), SHAPE, CLASSES))
    kinds = kinds_of(model)
    start, end = 2 * len(STAGE), kinds.index("Concatenate")
    assert [*kinds[:start], *kinds[end + 1 :]] == plain
    paths = ["Conv2D 1", "Conv2D 1", "Conv2D 1", "Conv2D 1", "Conv2D 3", "Conv2D 5", "MaxPooling2D"]
    assert sorted(kinds[start:end]) == paths
    concatenation = next(layer for layer in model.layers if type(layer).__name__ == "Concatenate")
    assert concatenation.output.shape == (None, 8, 8, 8)
    assert [path.shape for path in concatenation.input] == [(None, 8, 8, 2)] * 4


def test_skip_connections_carry_the_image_past_the_first_two_stages(images):
    """Without their 3×3 convolutions these two still let the pixels through, and without the skips as well nothing."""
    model = build_model(model_section("cnn_residual", {"filters": [4, 4, 4]}), SHAPE, CLASSES)
    convolutions = {side: [] for side in (3, 1)}
    for layer in model.layers:
        if hasattr(layer, "kernel_size"):
            convolutions[layer.kernel_size[0]].append(layer)
    assert (len(convolutions[3]), len(convolutions[1])) == (3, 2)

    def spread_without(layers):
        for layer in layers:
            layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
        return np.ptp(model.predict_on_batch(images.pixels[:CLASSES]), axis=0).max()

    assert spread_without(convolutions[3][:2]) > 1e-4
    assert spread_without(convolutions[1][:1]) == 0


@pytest.mark.parametrize("name", ["cnn_inception", "cnn_residual"])
def test_block_after_the_second_stage_needs_two_stages(name):
    with pytest.raises(
        ConfigurationError, match=r"models\.model\.params\.filters: expected .* at least 2 .*; received"
    ):
        checked_params(model_section(name, {"filters": [4]}))


@pytest.mark.parametrize("name", NETWORKS)
def test_more_poolings_than_the_image_can_be_halved_are_refused(name):
    params = {"filters": [4, 4, 4]}
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


def test_saved_machine_loads_without_running_code_and_predicts_the_same(train_smallest, images, tmp_path):
    import skops.io

    machine, _ = train_smallest("linear_svm")
    skops.io.dump(machine, tmp_path / "model.skops")
    loaded = tracking.load_model(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(images.pixels[:7]), machine.predict_proba(images.pixels[:7]))


def test_machine_counts_a_coefficient_a_pixel_and_an_intercept_for_every_pair_of_classes(make_images):
    section = smallest("linear_svm")
    model = build_model(section, SHAPE, 3)
    fit_model(model, make_images(3, 12, 3), section.train, "model")
    assert count_parameters(model) == 3 * (math.prod(SHAPE) + 1)


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
