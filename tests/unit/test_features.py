"""Frozen backbones: what they make of the images is computed once, and training the head on it is the same training."""

from contextlib import ExitStack
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.experiment import Model, Train
from tasks.input_pipeline import ImageSet
from tasks.train import features as computing
from tasks.train import fit as fitting
from tasks.train import head_fit
from tasks.train.checkpoint import Checkpoint
from tasks.train.feature_cache import FeatureCache
from tasks.train.features import describe, split_network
from tasks.train.fit import fit_model
from tasks.train.freezing import find_backbone
from tasks.train.registry import build_model

SHAPE = (8, 8, 3)
FROZEN = {"trainable": "none", "epochs": 2, "learning_rate": 0.02}
TUNED = {"trainable": "all", "epochs": 2, "learning_rate": 0.002, "optimizer": "sgd"}
COPIES = {"augmentation": {"horizontal_flip": True, "rotation": 90}, "augmented_copies": 2}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Path of a saved backbone of two layers."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, activation="relu", name="first")(layers.Rescaling(1 / 255)(inputs))
    path = tmp_path_factory.mktemp("backbones") / "small.keras"
    keras.Model(inputs, layers.Conv2D(6, 3, activation="relu", name="last")(x)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """24 images to train and 12 to validate and 6 to test with, with boxes; the labels are chance."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, random.integers(0, 256, (42, *SHAPE), dtype=np.uint8))
    boxes = dict.fromkeys(("box_x", "box_y", "box_width", "box_height"), 0.4)
    splits = ["train"] * 24 + ["validation"] * 12 + ["test"] * 6
    rows = {"image_id": [f"{number:02}" for number in range(42)], "label": [0, 1, 2] * 14, "split": splits, **boxes}
    return ImageSet(pd.DataFrame(rows), path)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features", 10**6)


@pytest.fixture
def section(backbone):
    """`section(family, params, epochs=2, …)`: a model on the backbone."""

    def make(family="transfer", params=None, **train):
        common = {"batch_size": 10, "epochs": 2, "learning_rate": 0.02, **train}
        return Model(name="m", family=family, params={"backbone": backbone, **(params or {})}, train=common)

    return make


def fitted(model, images, cache=None, kept=None):
    network = build_model(model, SHAPE, 3)
    return network, fit_model(network, images, model.train, "m", kept, cache)


def assert_same_training(first, second):
    """To within what is lost in float16, of which 11 bits are left."""
    (network, fit), (other_network, other) = first, second
    assert fit.history.keys() == other.history.keys()
    for metric, values in fit.history.items():
        assert other.history[metric] == pytest.approx(values, rel=2e-3, abs=1e-4), metric
    assert (other.chosen_epoch, other.images_seen, other.stage_starts) == (
        fit.chosen_epoch,
        fit.images_seen,
        fit.stage_starts,
    )
    for weights, others in zip(network.get_weights(), other_network.get_weights(), strict=True):
        np.testing.assert_allclose(others, weights, rtol=0.01, atol=2e-3)


@pytest.fixture
def said(monkeypatch):
    sentences = []
    for module in (fitting, computing):
        monkeypatch.setattr(module, "say", sentences.append)
    return sentences


# The same training


@pytest.mark.parametrize(
    ("family", "params", "train"),
    [
        (
            "transfer",
            {"dense_units": [8], "dropout": 0.3, "batch_normalization": True},
            {"schedule": "cosine", "label_smoothing": 0.1, "class_weights": "balanced", "early_stopping_patience": 1},
        ),
        ("class_and_box", {"dense_units": [8], "bottleneck": 4}, {"epochs": 1}),
    ],
    ids=["all that a head may have", "class and box"],
)
def test_training_on_features_is_the_training_on_pixels(images, cache, section, monkeypatch, family, params, train):
    monkeypatch.setattr("tasks.train.head_fit._CHUNK_BYTES", 1)  # in as many pieces as there can be
    model = section(family, params, **train)
    on_features = fitted(model, images, cache)
    assert len(list(cache.folder.glob("*.npy"))) == 1
    assert_same_training(fitted(model, images), on_features)


@pytest.mark.parametrize(("seconds", "kept_epochs"), [(0.0, [1, 2, 3]), (1e6, [1, 3])])
def test_epochs_of_a_moment_are_kept_from_time_to_time_and_at_the_end(
    images, cache, section, tmp_path, monkeypatch, seconds, kept_epochs
):
    monkeypatch.setattr("tasks.train.watching._SECONDS_APART", seconds)
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda _, progress, __: saved.append(progress.epochs))
    fitted(section(epochs=3), images, cache, Checkpoint(tmp_path / "kept.npz"))
    assert saved == kept_epochs


@pytest.mark.parametrize(
    ("stages", "interrupted_after"),
    [([FROZEN, TUNED], 1), ([{**TUNED, "epochs": 1}, FROZEN], 2)],
    ids=["frozen then tuned", "tuned then frozen"],
)
def test_stages_are_those_on_pixels_even_interrupted(images, cache, section, tmp_path, stages, interrupted_after):
    model = section(params={"pooling": "flatten", "dropout": 0.3}, stages=stages, early_stopping_patience=3)
    save, kept = Checkpoint.save, Checkpoint(tmp_path / "kept.npz")

    def save_and_stop(self, progress, network):
        save(self, progress, network)
        if progress.epochs == interrupted_after:
            raise KeyboardInterrupt

    with mock.patch.object(Checkpoint, "save", save_and_stop), pytest.raises(KeyboardInterrupt):
        fitted(model, images, cache, kept)
    again = fitted(model, images, cache, kept)
    assert again[1].resumed_after == interrupted_after
    assert_same_training(fitted(model, images), again)


def test_tuning_that_makes_it_worse_is_undone(images, cache, section):
    worse = {**TUNED, "epochs": 1, "learning_rate": 30.0}
    model = section(stages=[{**FROZEN, "epochs": 1}, worse], early_stopping_patience=3)
    network = build_model(model, SHAPE, 3)
    before = find_backbone(network).get_weights()
    assert fit_model(network, images, model.train, "m", None, cache).chosen_epoch == 1
    for weights, others in zip(before, find_backbone(network).get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)


def test_network_in_two_parts_answers_as_the_whole(images, section):
    network = build_model(section(params={"dense_units": [8]}), SHAPE, 3)
    parts = split_network(network)
    features = parts.body.predict_on_batch(images.pixels).astype(np.float16)
    assert features.shape == (42, 6)  # pooled
    answers = parts.head.predict_on_batch(features)
    np.testing.assert_allclose(answers, network.predict_on_batch(images.pixels), atol=1e-3)


def test_loss_that_is_lost_ends_the_training_with_the_model_and_the_mend(images, cache, section):
    model = section(optimizer="sgd", learning_rate=1e38)
    with pytest.raises(DarkroomError, match=r"^models\.m: the (training|validation) loss became .*learning_rate"):
        fitted(model, images, cache)


# Computed once


def computed(network, images, cache):
    """Images that go through the backbone when their features are asked for."""
    compute, counts = computing._computed, [0]

    def counted(body, batches, count, dtype):
        counts.append(count)
        return compute(body, batches, count, dtype)

    with mock.patch.object(computing, "_computed", counted), ExitStack() as reading:
        computing.open_features(split_network(network), images, Train(), cache, "m", reading)
    return sum(counts)


def test_features_are_shared_by_heads_seeds_splits_and_folds(images, cache, section):
    network, other = (build_model(section(**more), SHAPE, 3) for more in ({}, {"params": {"dropout": 0.1}, "seed": 3}))
    assert computed(network, images, cache) == 42
    parted = ImageSet(images.rows.assign(split=list(images.rows["split"])[::-1], fold=[0, 1] * 21), images.path)
    for same in (images, parted, parted.fold(1)):
        assert computed(other, same, cache) == 0


def test_other_weights_layers_sizes_and_images_are_computed_for_themselves(images, cache, section, tmp_path):
    for params in ({}, {"pooling": "flatten"}, {"pooling": "global_max"}, {"image_size": (9, 9)}):
        network = build_model(section(params=params), SHAPE, 3)
        assert computed(network, images, cache) == 42
    find_backbone(network).set_weights([weights + 1 for weights in find_backbone(network).get_weights()])
    assert computed(network, images, cache) == 42
    fewer = ImageSet(images.rows[1:].reset_index(drop=True), tmp_path / "fewer.npy")
    np.save(fewer.path, images.pixels[1:])
    assert computed(network, fewer, cache) == 41


def test_description_of_a_network_hangs_on_its_layers_and_not_on_their_names(section):
    bodies = [split_network(build_model(section(), SHAPE, 3)).body for _ in range(2)]
    assert bodies[0].layers[-1].name != bodies[1].layers[-1].name
    first, second = map(describe, bodies)
    assert first == second
    other = build_model(section(params={"pooling": "global_max"}), SHAPE, 3)
    assert describe(split_network(other).body) != first


def test_features_too_large_for_float16_are_kept_in_float32(images, cache, section, said):
    model = section(epochs=1)
    network = build_model(model, SHAPE, 3)
    find_backbone(network).get_layer("last").set_weights([np.full((3, 3, 6, 6), 1e5), np.full(6, 1e5)])
    expected = split_network(network).body.predict_on_batch(images.pixels)
    fit_model(network, images, model.train, "m", None, cache)
    (path,) = cache.folder.glob("*.npy")
    np.testing.assert_allclose(np.load(path), expected, rtol=1e-5)
    assert any("65,504" in sentence for sentence in said)


@pytest.fixture
def on_pixels():
    """What is fitted on pixels; it is not fitted here."""
    with mock.patch.object(fitting, "_fit_on_pixels") as fit:
        yield fit


def test_features_beyond_the_bound_of_the_cache_are_not_kept(images, tmp_path, section, said, on_pixels):
    fitted(section(), images, FeatureCache(tmp_path / "features", 1_000))
    assert on_pixels.called
    assert not (tmp_path / "features").exists()
    assert "DARKROOM_FEATURE_CACHE_GB" in said[0]


# With augmentation


def test_augmentation_of_a_frozen_backbone_is_told_what_it_costs(images, cache, section, said, on_pixels):
    fitted(section(epochs=3, augmentation="flips"), images, cache)
    assert on_pixels.called
    assert "3 × 24 images go through the backbone" in said[0]
    assert "train.augmented_copies" in said[0]


def test_copies_are_computed_once_and_taken_in_turn(images, cache, section):
    with mock.patch.object(head_fit, "_Rows", wraps=head_fit._Rows) as rows:
        fitted(section(epochs=3, **COPIES), images, cache)
    taken = [np.array(call.args[0]) for call in rows.call_args_list[1:]]  # the first are those to validate with
    assert len(taken) == 3
    np.testing.assert_array_equal(taken[0], taken[2])
    copies = [features for features in map(np.load, cache.folder.glob("*.npy")) if len(features) == 24]
    assert {array.tobytes() for array in taken} == {array.tobytes() for array in copies}
    assert len({array.tobytes() for array in copies}) == 2
    network = build_model(section(), SHAPE, 3)
    assert computed(network, images, cache) == 0  # the images as they are, which are validated with
    plain = split_network(network).body.predict_on_batch(images.pixels[:24])
    assert not any(np.allclose(plain, array, atol=1e-2) for array in copies)


@pytest.mark.parametrize("params", [{"trainable": "last"}, {"trainable": "all"}])
def test_copies_without_a_frozen_backbone_are_refused(images, cache, section, params):
    with pytest.raises(ConfigurationError, match=r"^models\.m\.train\.augmented_copies: expected none, .* received 2;"):
        fitted(section(params=params, **COPIES), images, cache)


def test_copies_without_augmentation_are_refused():
    with pytest.raises(ValueError, match="augmented_copies: expected none without augmentation; received 2"):
        Train(augmented_copies=2)
