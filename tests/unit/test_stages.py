"""Training in stages: frozen first, then fine-tuned, in one run whose epochs count on."""

import math
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model, Train
from tasks import predictions
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.train import fit as fitting
from tasks.train import outcome
from tasks.train.fit import Fit, fit_model, stages_of
from tasks.train.freezing import find_backbone
from tasks.train.registry import build_model, checked_params

SHAPE = (8, 8, 3)
CLASS_NAMES = ("a", "b", "c")
FROZEN = {"trainable": "none", "epochs": 2, "learning_rate": 0.01}
FINE = {"trainable": "last", "epochs": 3, "learning_rate": 0.001}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Path of a saved backbone of two layers, `first` and `last`."""
    import keras
    from keras import layers

    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="first")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="last")(x)
    path = tmp_path_factory.mktemp("backbones") / "small.keras"
    keras.Model(inputs, x).save(path)
    return str(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """24 images to train and 12 to validate with; the labels are chance, so that training overfits."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, random.integers(0, 256, (36, *SHAPE), dtype=np.uint8))
    ids = [f"{number:02}" for number in range(36)]
    splits = ["train"] * 24 + ["validation"] * 12
    return ImageSet(pd.DataFrame({"image_id": ids, "label": [0, 1, 2] * 12, "split": splits}), path)


@pytest.fixture
def section(backbone):
    """`section([stage, …], …)`: a model on the backbone with these stages and settings of the training."""

    def make(stages, **train):
        params = {"backbone": backbone, "dense_units": [16]}
        return Model(name="m", family="transfer", params=params, train={"stages": stages, "batch_size": 8, **train})

    return make


@pytest.fixture
def fitted(section, images):
    """`fitted([stage, …], …)`: the model after its training, how that went, and the backbone's weights before."""

    def fit(stages, **train):
        model = section(stages, **train)
        network = build_model(model, SHAPE, len(CLASS_NAMES))
        before = {layer.name: layer.get_weights() for layer in find_backbone(network).layers}
        return network, fit_model(network, images, model.train, "m"), before

    return fit


def changed_layers(network, before):
    after = {layer.name: layer.get_weights() for layer in find_backbone(network).layers}
    return [name for name in before if any(map(np.any, map(np.subtract, after[name], before[name])))]


def validation_loss(network, images):
    return predictions.log_loss(predict_split(network, images, "validation", CLASS_NAMES))


# What each stage trains


@pytest.mark.parametrize(
    ("trainable", "changed"), [("none", []), ("last", ["last"]), (1, ["last"]), ("all", ["first", "last"])]
)
def test_second_stage_trains_the_layers_it_names(fitted, trainable, changed):
    network, _, before = fitted([FROZEN, {**FINE, "trainable": trainable}])
    assert changed_layers(network, before) == changed


def test_stage_may_freeze_again_what_was_trained(fitted):
    network, fit, before = fitted([{**FINE, "trainable": "all"}, {**FROZEN, "epochs": 1}])
    assert changed_layers(network, before) == ["first", "last"]
    assert find_backbone(network).trainable_weights == []
    assert len(fit.history["val_loss"]) == 4


def test_each_stage_has_its_own_learning_rate_and_optimiser(section, images):
    stages = [FROZEN, {**FINE, "optimizer": "sgd"}]
    model = section(stages, optimizer="rmsprop")
    network, used = build_model(model, SHAPE, 3), []

    def compile_model(network, train, **options):
        fitting_compile(network, train, **options)
        used.append((type(network.optimizer).__name__, pytest.approx(float(network.optimizer.learning_rate))))

    fitting_compile = fitting.compile_model
    with mock.patch.object(fitting, "compile_model", compile_model):
        fit_model(network, images, model.train, "m")
    assert used == [("RMSprop", 0.01), ("SGD", 0.001)]


def test_schedule_is_laid_over_each_stage(fitted):
    network, fit, _ = fitted([FROZEN, FINE], schedule="cosine")
    assert int(network.optimizer.iterations) == 3 * 3  # a fresh optimiser
    lasts = [rate * (1 + math.cos(math.pi * done)) / 2 for rate, done in ((0.01, 5 / 6), (0.001, 8 / 9))]
    assert [fit.history["learning_rate"][epoch] for epoch in (1, 4)] == pytest.approx(lasts, rel=1e-4)


def test_stages_do_not_see_the_same_batches(section):
    train = section([FROZEN, FINE], seed=4).train
    assert len({stage.seed for stage in stages_of(train)}) == 2


def test_training_without_stages_is_one_stage_as_it_was():
    train = Train(epochs=7, learning_rate=0.2)
    assert stages_of(train) == [train]


# What is recorded and which weights are kept


def test_epochs_count_on_over_the_stages(fitted, images):
    network, fit, _ = fitted([FROZEN, FINE])
    assert {len(values) for values in fit.history.values()} == {5}
    assert fit.stage_starts == (1, 3)
    assert fit.images_seen == 5 * 24
    assert fit.chosen_epoch == 5
    assert validation_loss(network, images) == pytest.approx(fit.history["val_loss"][-1], abs=1e-4)


def test_early_stopping_is_per_stage(fitted, images):
    stages = [{**FROZEN, "trainable": "all", "epochs": 40, "learning_rate": 0.05}, {**FINE, "epochs": 2}]
    network, fit, _ = fitted(stages, early_stopping_patience=2)
    losses = fit.history["val_loss"]
    start = fit.stage_starts[1]
    first = losses[: start - 1]
    assert len(first) == first.index(min(first)) + 1 + 2 < 40
    assert len(losses) <= len(first) + 2
    assert fit.chosen_epoch == losses.index(min(losses)) + 1
    assert validation_loss(network, images) == pytest.approx(min(losses), abs=1e-4)


def test_stage_that_makes_it_worse_is_undone_with_early_stopping(fitted, images):
    """Fine-tuning at a rate that destroys what was learned."""
    stages = [FROZEN, {**FINE, "trainable": "all", "optimizer": "sgd", "learning_rate": 3.0}]
    network, fit, before = fitted(stages, early_stopping_patience=5)
    losses = fit.history["val_loss"]
    assert min(losses[2:]) > min(losses[:2])
    assert fit.chosen_epoch <= 2
    assert changed_layers(network, before) == []
    assert validation_loss(network, images) == pytest.approx(min(losses), abs=1e-4)


def test_title_of_the_curves_tells_where_a_stage_begins(tmp_path):
    history = {metric: [0.9, 0.8, 0.7] for metric in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
    with (
        mock.patch.object(outcome.tracking, "set_tags"),
        mock.patch.object(outcome.tracking, "log_history"),
        mock.patch.object(outcome.tracking, "log_files"),
        mock.patch.object(outcome, "draw_curves") as draw,
    ):
        outcome.log_fit("run", "m", Fit(history, 3, 1.0, 1, (1, 2, 3)), tmp_path)
        outcome.log_fit("run", "m", Fit(history, 3, 1.0, 1), tmp_path)
    assert [call.args[2] for call in draw.call_args_list] == ["m; stage 2 from epoch 2; stage 3 from epoch 3", "m"]


def logged_settings(model, **more):
    with mock.patch.object(outcome.tracking, "log_params") as log:
        outcome.log_settings("run", model, **more)
    return log.call_args.args[1]


def test_parameters_of_stages_are_logged_with_a_prefix(section):
    logged = logged_settings(section([FROZEN, {**FINE, "optimizer": "sgd"}], optimizer="rmsprop"), fold=1)
    assert logged["stage1"] == {**FROZEN, "optimizer": "rmsprop"}
    assert logged["stage2"] == {**FINE, "optimizer": "sgd"}
    assert logged["fold"] == 1
    assert not {"stages", "epochs", "learning_rate", "optimizer"} & set(logged["train"])
    assert "trainable" not in logged["params"]
    assert logged["params"]["dense_units"] == (16,)


def test_parameters_without_stages_are_logged_as_they_are():
    model = Model(name="m", family="cnn_plain", params={}, train=Train(epochs=3))
    logged = logged_settings(model)
    assert logged["train"] == {key: value for key, value in model.train.model_dump().items() if key != "stages"}
    assert not any(key.startswith("stage") for key in logged)


# What is refused


@pytest.mark.parametrize("family", ["cnn_plain", "linear_svm"])
def test_stages_are_for_families_with_a_backbone(family):
    model = Model(name="m", family=family, train={"stages": [FROZEN]})
    with pytest.raises(ConfigurationError) as caught:
        checked_params(model)
    assert str(caught.value) == (
        f"models.m.train.stages: expected none, since the family {family} has no backbone to freeze; received 1; give "
        "train.epochs, or set models.m.train.stages=[]"
    )


def test_unknown_layer_of_a_later_stage_is_told_when_the_model_is_built(section):
    model = section([FROZEN, {**FINE, "trainable": "lsat"}])
    with pytest.raises(
        ConfigurationError, match=r"^models\.m\.train\.stages: stage 2: trainable: .*did you mean 'last'"
    ):
        build_model(model, SHAPE, 3)


def test_model_is_built_as_its_first_stage_wants_it(section):
    assert find_backbone(build_model(section([FROZEN, FINE]), SHAPE, 3)).trainable_weights == []
    assert len(find_backbone(build_model(section([FINE, FROZEN]), SHAPE, 3)).trainable_weights) == 2


def test_the_diagnosis_is_of_the_stage_whose_weights_were_kept():
    """The first stage had diverged; the second, from epoch 3 on, is good, and its loss jumps where it begins."""
    history = {
        "train_loss": [0.5, 9.0, 0.4, 0.3, 0.3, 0.3],
        "val_loss": [0.5, 9.0, 0.4, 0.35, 0.35, 0.35],
        "train_accuracy": [0.8] * 6,
        "val_accuracy": [0.8] * 6,
    }
    assert outcome.diagnose_stage(Fit(history, 4, 1.0, 6, (1, 3))).kind == "good"
    assert outcome.diagnose_stage(Fit(history, 1, 1.0, 6, (1, 3))).kind == "diverged"
