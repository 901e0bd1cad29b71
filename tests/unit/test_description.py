"""A network in figures: layers, parameters, memory; and what `check` tells of it."""

import io
import math
from typing import get_args
from unittest import mock

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from flows import check
from pipeline_config.experiment import Model, Optimizer
from tasks.train.description import describe_network, training_bytes
from tasks.train.freezing import set_trainable
from tasks.train.layer_graph.calls import calls_of
from tasks.train.registry import build_model

SHAPE = (32, 32, 3)
FLOAT32 = 4


def build(family, shape=SHAPE, **params):
    return build_model(Model(name="m", family=family, params=params), shape, 10)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Path of a saved backbone for images of any size: two convolutions, and a dropout of its own."""
    import keras
    from keras import layers

    pixels = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="first")(pixels)
    x = layers.Dropout(0.7)(layers.BatchNormalization(name="first_normal")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="last")(x)
    path = tmp_path_factory.mktemp("backbones") / "small.keras"
    keras.Model(pixels, x, name="small").save(path)
    return str(path)


@pytest.fixture(scope="module")
def transfer(backbone):
    return build("transfer", (16, 16, 3), backbone=backbone, dense_units=[8], dropout=0.25)


@pytest.fixture
def frozen(transfer):
    set_trainable(transfer, "none")
    return describe_network(transfer)


# Figures


def test_recipe_of_cifar10_with_batch_normalisation():
    network = describe_network(build("cnn_batchnorm"))
    assert (network.layers, network.dense_layers) == (8, 2)
    assert (network.parameters, network.trainable_parameters) == (2_200_394, 2_198_602)
    assert network.batch_normalization
    assert network.dropout == (0.5,)
    assert network.weights_bytes == 2_200_394 * FLOAT32


def test_layers_of_a_backbone_count_and_its_dropout_which_is_off_does_not(frozen):
    assert (frozen.layers, frozen.dense_layers) == (2 + 2, 2)
    assert frozen.batch_normalization
    assert frozen.dropout == (0.25,)


def test_frozen_weights_are_no_trainable_parameters(transfer, frozen):
    head = 4 * 8 + 8 + 8 * 10 + 10
    assert frozen.trainable_parameters == head
    set_trainable(transfer, 1)
    assert describe_network(transfer).trainable_parameters == head + (3 * 3 * 4 + 4)


def test_network_without_normalisation_or_dropout_has_none():
    network = describe_network(build("cnn_plain", filters=[4], dense_units=[]))
    assert not network.batch_normalization
    assert network.dropout == ()


def test_machine_without_layers_has_no_figures():
    assert describe_network(build("linear_svm")) is None


# Memory


def test_sizes_inside_a_backbone_for_images_of_any_size_are_those_of_the_images_that_it_gets(transfer):
    shapes = {call.layer.name: call.output_shape for call in calls_of(transfer, unfold=True)}
    assert shapes["first"] == shapes["last"] == (8, 8, 4)
    assert [name for name, shape in shapes.items() if None in shape] == ["pixels"]


def test_activations_of_a_trained_network_are_the_outputs_of_its_layers():
    network = describe_network(build("cnn_plain", filters=[4], convolutions=1, dense_units=[]))
    convolution = 32 * 32 * 4
    kept = 32 * 32 * 3 + convolution + convolution // 4 + 10  # what the first layer takes in is needed for its gradient
    assert network.activation_bytes == FLOAT32 * (kept + 2 * convolution)


def test_outputs_of_frozen_layers_are_not_kept(transfer, frozen):
    largest, feature_map = 16 * 16 * 3, 8 * 8 * 4
    head = 4 + 8 + 8 + 10
    assert frozen.activation_bytes == FLOAT32 * (head + 2 * largest)
    set_trainable(transfer, 1)
    trained = describe_network(transfer)
    assert trained.activation_bytes == frozen.activation_bytes + FLOAT32 * 2 * feature_map  # its input and its output


@pytest.mark.parametrize(("optimizer", "copies"), [("adam", 2), ("rmsprop", 1), ("sgd", 1)])
def test_optimizer_adds_its_copies_of_what_is_trained(frozen, optimizer, copies):
    weights = frozen.weights_bytes + frozen.trainable_parameters * FLOAT32 * (1 + copies)
    assert training_bytes(frozen, 3, optimizer) == weights + 3 * frozen.activation_bytes


def test_every_optimizer_that_can_be_named_has_an_estimate(frozen):
    assert all(training_bytes(frozen, 1, name) >= frozen.weights_bytes for name in get_args(Optimizer))


@settings(max_examples=3)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.booleans())
def test_parameters_of_the_calls_are_those_of_the_network(filters, normal):
    model = build("cnn_batchnorm" if normal else "cnn_plain", (8, 8, 3), filters=filters, convolutions=1)
    calls = calls_of(model)
    assert sum(call.parameters for call in calls) == model.count_params()
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert sum(call.trained_parameters for call in calls) == trained == describe_network(model).trainable_parameters


# What check tells


@pytest.fixture(scope="module")
def checked(tmp_path_factory, backbone):
    """Answer and printed text of `check --layers`, on a terminal of 100 columns: a network in stages, and an SVM."""
    stages = [
        {"trainable": "none", "epochs": 2, "learning_rate": 0.01},
        {"trainable": "first_normal", "epochs": 3, "learning_rate": 0.001},
    ]
    tuned = {"name": "fine_tuned_network", "family": "transfer", "params": {"backbone": backbone, "dense_units": [8]}}
    section = {
        "name": "staged",
        "dataset": {"source": "digits"},
        "models": [{**tuned, "train": {"stages": stages}}, {"name": "svm", "family": "linear_svm"}],
        "split": {"folds": 2},
    }
    path = tmp_path_factory.mktemp("experiments") / "staged.yaml"
    path.write_text(yaml.safe_dump(section))
    console = Console(file=io.StringIO(), width=100, highlight=False)
    with mock.patch.object(check, "console", console), mock.patch.object(check, "say", console.print):
        answer = check.check_experiment(str(path), [], show_layers=True)
    return answer, console.file.getvalue()


def test_check_answers_for_every_stage_and_for_the_whole(checked):
    answer, _ = checked
    network, machine = answer["models"]
    assert machine["parameters"] is None
    frozen, tuned = network["stages"]
    assert (frozen["trainable"], tuned["trainable"]) == ("none", "first_normal")
    assert network["trainable_parameters"] == frozen["trainable_parameters"] < tuned["trainable_parameters"]
    assert frozen["memory_bytes"] < tuned["memory_bytes"] == network["memory_bytes"]
    of_one_pass = frozen["epoch_seconds"]  # what it makes of the images is kept for its second epoch
    assert network["fit_seconds"] == pytest.approx(of_one_pass + 3 * tuned["epoch_seconds"])
    assert answer["fit_seconds"] == pytest.approx(3 * network["fit_seconds"])  # two folds and the final fit
    assert [row["kind"] for row in network["layer_table"]][:3] == ["Input", "Resize", "model of 5 layers"]


def test_table_of_check_is_readable_at_100_columns(checked):
    _, text = checked
    words = [line.split() for line in text.splitlines()]
    assert ["fine_tuned_network", "transfer", "4"] in [line[:3] for line in words]
    assert ["stage", "1", "trains", "none", "130"] in [line[:5] for line in words]
    assert ["stage", "2", "trains", "first_normal", "178"] in [line[:5] for line in words]
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_check_shows_the_layers_of_each_network(checked):
    _, text = checked
    lines = [line.split() for line in text.splitlines()]
    assert ["small", "model", "of", "5", "layers", "4×4×4", "168", "frozen"] in lines
    assert ["probabilities", "Dense", "10,", "softmax", "10", "90", "yes"] in lines
