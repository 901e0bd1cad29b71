"""Fitting: which weights are kept, how the learning rate falls, and what ends a training that went wrong."""

import math
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Augmentation, Model, Train
from tasks import predictions
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.train.compiling import compile_model
from tasks.train.fit import fit_model
from tasks.train.registry import build_model
from tasks.train.schedules import plateaus

SHAPE = (8, 8, 3)
CLASS_NAMES = ("a", "b", "c")
TINY = {"filters": [4], "convolutions": 1, "dense_units": [16]}
HISTORY = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}  # and the learning rate, of networks


def build(train, family="cnn_plain", **params):
    params = {} if family == "linear_svm" else {**TINY, **params}
    return build_model(Model(name="m", family=family, params=params, train=train), SHAPE, len(CLASS_NAMES))


def fitted(images, family="cnn_plain", params=None, **train):
    """The model after its training, and how that went."""
    settings = Train(**train)
    model = build(settings, family, **params or {})
    return model, fit_model(model, images, settings, "m")


def weights_of(model):
    return np.concatenate([weights.ravel() for weights in model.get_weights()])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """24 images to train, 12 to validate and 6 to test with; the labels are chance, so that training overfits."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, random.integers(0, 256, (42, *SHAPE), dtype=np.uint8))
    rows = pd.DataFrame(
        {
            "image_id": [f"{number:02}" for number in range(42)],
            "label": np.tile(np.arange(len(CLASS_NAMES)), 14),
            "split": ["train"] * 24 + ["validation"] * 12 + ["test"] * 6,
        }
    )
    return ImageSet(rows, path)


# Which weights are kept


@pytest.mark.parametrize(("epochs", "patience", "stops"), [(25, 2, True), (9, 40, False)])
def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss(images, epochs, patience, stops):
    model, fit = fitted(images, epochs=epochs, batch_size=8, learning_rate=0.05, early_stopping_patience=patience)
    losses = fit.history["val_loss"]
    assert min(losses) < losses[-1]  # else the last weights would be the best anyway
    assert fit.chosen_epoch == losses.index(min(losses)) + 1
    assert (len(losses) < epochs) == stops
    assert not stops or len(losses) == fit.chosen_epoch + patience
    kept = predictions.log_loss(predict_split(model, images, "validation", CLASS_NAMES))
    assert kept == pytest.approx(min(losses), abs=1e-4)


def test_without_early_stopping_the_last_weights_are_kept(images):
    model, fit = fitted(images, epochs=3, batch_size=8, learning_rate=0.05)
    losses = fit.history["val_loss"]
    assert fit.chosen_epoch == len(losses) == 3
    kept = predictions.log_loss(predict_split(model, images, "validation", CLASS_NAMES))
    assert kept == pytest.approx(losses[-1], abs=1e-4)


# What is recorded


def test_history_has_our_names_and_one_value_an_epoch(images):
    _, fit = fitted(images, epochs=2, batch_size=10)
    assert fit.history.keys() == HISTORY | {"learning_rate"}
    assert all(len(values) == 2 for values in fit.history.values())
    assert fit.images_seen == 2 * 24
    assert fit.seconds > 0


def test_support_vector_machine_goes_through_the_same_function(images):
    model, fit = fitted(images, "linear_svm")
    assert fit.history.keys() == HISTORY
    assert all(len(values) == 1 for values in fit.history.values())
    assert (fit.chosen_epoch, fit.images_seen) == (1, 24)
    assert fit.history["train_accuracy"] == [1.0]  # 192 pixels part 24 images of any labels
    validation = predict_split(model, images, "validation", CLASS_NAMES)
    assert fit.history["val_loss"] == [predictions.log_loss(validation)]
    assert fit.history["val_accuracy"] == [predictions.correct(validation).mean()]


@pytest.mark.parametrize("family", ["cnn_plain", "linear_svm"])
def test_test_images_are_never_looked_at(images, family, tmp_path):
    """Other test images and labels leave everything as it is."""
    tests = images.positions("test")
    rows, pixels = images.rows.copy(), np.array(images.pixels)
    rows.loc[tests, "label"] = 0
    pixels[tests] = 255
    np.save(tmp_path / "pixels.npy", pixels)
    first, second = (
        fitted(of, family, epochs=1, learning_rate=0.01)[1].history
        for of in (images, ImageSet(rows, tmp_path / "pixels.npy"))
    )
    assert first["val_loss"] == pytest.approx(second["val_loss"], rel=1e-5)
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-5)


# Reproducible


@pytest.fixture(scope="module")
def learned(images):
    """Weights after a short training, by seed and whether images were changed."""

    def learn(seed, augmentation):
        train = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "seed": seed, "augmentation": augmentation}
        return weights_of(fitted(images, params={"dropout": 0.3}, **train)[0])

    changes = Augmentation(rotation=90, horizontal_flip=True)
    return {
        "once": learn(3, changes),
        "again": learn(3, changes),
        "other seed": learn(4, changes),
        "unchanged": learn(3, None),
    }


def test_seed_makes_a_training_reproducible(learned):
    np.testing.assert_allclose(learned["once"], learned["again"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("other", ["other seed", "unchanged"])
def test_seed_and_augmentation_change_what_is_learned(learned, other):
    assert not np.allclose(learned["once"], learned[other], rtol=1e-2)


# Optimizer and learning rate


@pytest.mark.parametrize(
    ("schedule", "shares"),
    # Of the last of an epoch's two steps: a cosine reaches zero after the sixth.
    [("constant", [1, 1, 1]), ("cosine", [(1 + math.cos(math.pi * step / 6)) / 2 for step in (1, 3, 5)])],
)
def test_learning_rate_is_set_before_every_step_and_recorded_for_every_epoch(images, schedule, shares):
    model, fit = fitted(images, epochs=3, batch_size=12, learning_rate=0.01, schedule=schedule)
    assert fit.history["learning_rate"] == pytest.approx([0.01 * share for share in shares], rel=1e-4)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01 * shares[-1], rel=1e-4)


def test_learning_rate_falls_when_the_validation_loss_does_not(images):
    plateau = {"schedule": "reduce_on_plateau", "plateau_patience": 1}
    _, fit = fitted(images, epochs=8, batch_size=8, learning_rate=0.1, **plateau)
    losses = fit.history["val_loss"]
    assert any(later >= earlier for earlier, later in pairwise(losses[:-1]))
    expected = [0.1 * 0.2 ** plateaus(losses[:epoch], 1) for epoch in range(8)]
    assert fit.history["learning_rate"] == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < 0.1


@pytest.mark.parametrize(("name", "class_name"), [("adam", "Adam"), ("rmsprop", "RMSprop"), ("sgd", "SGD")])
def test_optimiser_is_the_one_asked_for(name, class_name):
    settings = Train(optimizer=name, learning_rate=0.003)
    model = build(settings)
    compile_model(model, settings)
    assert type(model.optimizer).__name__ == class_name
    assert float(model.optimizer.learning_rate) == pytest.approx(0.003)


# Rare classes


def test_balanced_class_weights_make_every_class_weigh_the_same_in_the_training_loss(images, tmp_path):
    """Of one step over all images, the loss is that of the first weights."""
    rows = images.rows.copy()
    rows.loc[:17, "label"] = 0  # of 24 training images 20, 2 and 2 are of the classes
    pixels = np.array(images.pixels)
    np.save(tmp_path / "pixels.npy", pixels)
    uneven = ImageSet(rows, tmp_path / "pixels.npy")
    first = predict_split(build(Train()), uneven, "train", CLASS_NAMES)
    probabilities = first.iloc[:, -len(CLASS_NAMES) :].to_numpy()
    lost = -np.log(probabilities[np.arange(len(first)), first["label"]])
    of_classes = [lost[first["label"] == label].mean() for label in range(3)]
    for weights, expected in ((None, lost.mean()), ("balanced", np.mean(of_classes))):
        _, fit = fitted(uneven, epochs=1, batch_size=24, class_weights=weights)
        assert fit.history["train_loss"][0] == pytest.approx(expected, rel=1e-4)


# A lost loss


@pytest.mark.parametrize("batch_size", [8, 24], ids=["several steps an epoch", "one step an epoch"])
def test_loss_that_is_lost_ends_the_training_with_the_model_and_the_mend(images, batch_size):
    with pytest.raises(DarkroomError) as caught:
        fitted(images, epochs=3, batch_size=batch_size, optimizer="sgd", learning_rate=1e30)
    sentence = str(caught.value)
    assert re.match(r"models\.m: the (training|validation) loss became ", sentence)
    assert "expected a finite number" in sentence
    assert "train.learning_rate" in sentence
    assert caught.value.exit_code == 1


def test_weights_that_are_lost_in_the_very_last_step_do_not_pass_for_a_model(images):
    """Only the validation loss can show it: there is no training step after it."""
    with pytest.raises(DarkroomError, match=r"^models\.m: "):
        fitted(images, epochs=1, batch_size=24, optimizer="sgd", learning_rate=1e39)
