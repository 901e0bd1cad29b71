"""A training that was interrupted goes on as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Model
from tasks.input_pipeline import ImageSet
from tasks.train import checkpoint as checkpoints
from tasks.train.checkpoint import Checkpoint, Progress, open_checkpoint
from tasks.train.fit import fit_model
from tasks.train.registry import build_model

SHAPE = (8, 8, 3)
CNN = {"family": "cnn_batchnorm", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
# All that could begin anew: shuffling, dropout, augmentation, Adam, averages, a rate that falls, early stopping.
TRAIN = {
    "epochs": 9,
    "batch_size": 8,
    "learning_rate": 0.1,
    "seed": 2,
    "schedule": "reduce_on_plateau",
    "plateau_patience": 1,
    "early_stopping_patience": 4,
    "lookahead": True,
    "augmentation": {"rotation": 30, "horizontal_flip": True},
}


def make_images(folder):
    """24 images to train and 12 to validate with; the labels are chance: the validation loss goes up and down."""
    np.save(folder / "pixels.npy", np.random.default_rng(1).integers(0, 256, (36, *SHAPE), dtype=np.uint8))
    rows = pd.DataFrame({"label": np.tile(np.arange(3), 12), "split": ["train"] * 24 + ["validation"] * 12})
    return ImageSet(rows.assign(image_id=[f"{number:02}" for number in range(36)]), folder / "pixels.npy")


def make_model(**more):
    return Model(name="m", **{**CNN, **more, "train": {**TRAIN, **more.get("train", {})}})


def fitted(model, images, kept=None):
    network = build_model(model, SHAPE, 3)
    return network, fit_model(network, images, model.train, "m", kept)


def interrupted_after(epochs, model, images, kept):
    """Ctrl-C when so many epochs are finished and kept."""
    save = Checkpoint.save

    def save_and_stop(self, progress, network):
        save(self, progress, network)
        if progress.epochs == epochs:
            raise KeyboardInterrupt

    with mock.patch.object(Checkpoint, "save", save_and_stop), pytest.raises(KeyboardInterrupt):
        fitted(model, images, kept)


def assert_same(first, second, epochs):
    (network, fit), (other_network, other) = first, second
    assert fit.history.keys() == other.history.keys()
    for metric, values in fit.history.items():
        assert other.history[metric] == pytest.approx(values, rel=1e-4, abs=1e-5), metric
    assert (other.chosen_epoch, other.images_seen, other.stage_starts) == (
        fit.chosen_epoch,
        fit.images_seen,
        fit.stage_starts,
    )
    assert (fit.resumed_after, other.resumed_after) == (0, epochs)
    for weights, others in zip(network.get_weights(), other_network.get_weights(), strict=True):
        np.testing.assert_allclose(others, weights, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("pixels"))


@pytest.fixture(scope="module")
def undisturbed(images):
    network, fit = fitted(make_model(), images)
    losses, rates = fit.history["val_loss"], fit.history["learning_rate"]
    assert fit.chosen_epoch < len(losses) == fit.chosen_epoch + 4 < 9  # early stopping ended it
    assert len(set(rates)) > 1  # and the rate had fallen
    return network, fit


def kill_9_in_the_next_epoch(folder, epochs):
    """Run in a process of its own: it ends with SIGKILL in the middle of the epoch after `epochs`."""
    images, kept = make_images(Path(folder)), Checkpoint(Path(folder) / "kept.npz")
    save, seen = Checkpoint.save, []
    Checkpoint.save = lambda self, progress, network: (save(self, progress, network), seen.append(progress.epochs))
    from tasks.train import watching

    check = watching._check_finite

    def check_and_die(*arguments):
        if epochs in seen:
            os.kill(os.getpid(), signal.SIGKILL)
        check(*arguments)

    watching._check_finite = check_and_die
    fitted(make_model(), images, kept)


def test_training_that_was_killed_goes_on_to_the_same_end(images, undisturbed, tmp_path):
    script = f"import runpy; runpy.run_path({__file__!r})['kill_9_in_the_next_epoch']({str(tmp_path)!r}, 2)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    again = fitted(make_model(), images, Checkpoint(tmp_path / "kept.npz"))
    assert_same(undisturbed, again, 2)


@pytest.mark.parametrize("which", ["after the first", "after the best", "after the last"])
def test_training_that_was_interrupted_goes_on_to_the_same_end(images, undisturbed, tmp_path, which):
    _, fit = undisturbed
    epochs = {"after the first": 1, "after the best": fit.chosen_epoch, "after the last": len(fit.history["val_loss"])}
    kept = Checkpoint(tmp_path / "kept.npz")
    interrupted_after(epochs[which], make_model(), images, kept)
    assert_same(undisturbed, fitted(make_model(), images, kept), epochs[which])


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """A model of two stages on a saved backbone of two layers."""
    import keras

    pixels = keras.Input((None, None, 3))
    scaled = keras.layers.Rescaling(1 / 255)(pixels)
    first = keras.layers.Conv2D(3, 3, strides=2, activation="relu", name="first")(scaled)
    path = tmp_path_factory.mktemp("backbone") / "own.keras"
    keras.Model(pixels, keras.layers.Conv2D(4, 3, name="last")(first)).save(path)
    stages = [
        {"trainable": "none", "epochs": 2, "learning_rate": 0.05},
        {"trainable": "last", "epochs": 3, "learning_rate": 0.01, "optimizer": "sgd"},
    ]
    params = {"backbone": str(path), "dense_units": [8], "dropout": 0.3}
    return make_model(family="transfer", params=params, train={"stages": stages, "early_stopping_patience": 2})


@pytest.fixture(scope="module")
def undisturbed_stages(images, staged):
    undisturbed = fitted(staged, images)
    assert undisturbed[1].stage_starts == (1, 3)
    return undisturbed


@pytest.mark.parametrize("epochs", [2, 3], ids=["between two stages", "in the second stage"])
def test_training_in_stages_goes_on_in_its_stage(images, staged, undisturbed_stages, tmp_path, epochs):
    kept = Checkpoint(tmp_path / "kept.npz")
    interrupted_after(epochs, staged, images, kept)
    assert_same(undisturbed_stages, fitted(staged, images, kept), epochs)


@pytest.mark.parametrize("content", [b"", b"no archive", "another model"])
def test_checkpoint_that_does_not_fit_is_not_used(images, tmp_path, content):
    path = tmp_path / "kept.npz"
    model = make_model(train={"epochs": 1})
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        other = make_model(params={**CNN["params"], "filters": [5]}, train={"epochs": 3})
        interrupted_after(1, other, images, Checkpoint(path))
    _, fit = fitted(model, images, Checkpoint(path))
    assert (fit.resumed_after, len(fit.history["val_loss"])) == (0, 1)


# The file


def test_checkpoint_is_gone_when_the_training_is_safe(tmp_path):
    with open_checkpoint(tmp_path, make_model(), "digest") as kept:
        kept.path.write_bytes(b"")
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(("error", "remains"), [(DarkroomError("lost"), 0), (OSError("no server"), 1)])
def test_checkpoint_outlives_what_another_try_can_mend(tmp_path, error, remains):
    def fail():
        with open_checkpoint(tmp_path, make_model(), "digest") as kept:
            kept.path.write_bytes(b"")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert len(list(tmp_path.glob("*.npz"))) == remains


def test_each_training_has_its_own(tmp_path):
    trainings = [
        (make_model(), "a", 0),
        (make_model(), "a", 1),
        (make_model(), "b", 0),
        (make_model(train={"seed": 1}), "a", 0),
    ]
    paths = set()
    for model, *data in trainings:
        with open_checkpoint(tmp_path, model, *data) as kept:
            paths.add(kept.path)
    assert len(paths) == len(trainings)


def test_two_processes_do_not_share_one(tmp_path):
    with open_checkpoint(tmp_path, make_model()) as kept, open_checkpoint(tmp_path, make_model()) as other:
        assert kept is not None
        assert other is None


def test_saved_progress_is_read_back_whole(images, tmp_path):
    network, _ = fitted(make_model(train={"epochs": 1}), images)
    progress = Progress({"val_loss": [1.0, 2.0]}, [1, 2], 3.5, 48, network.get_weights())
    kept = Checkpoint(tmp_path / "kept.npz")
    kept.save(progress, network)
    read, state = kept.load()
    assert (read.history, read.stage_starts, read.seconds) == (progress.history, [1, 2], 3.5)
    assert read.images_seen == 48
    assert read.epochs == 2
    assert read.stage_losses == [2.0]
    assert len(read.best_weights) == len(progress.best_weights)
    assert checkpoints.restore(network, state)
