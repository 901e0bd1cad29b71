"""Several GPUs: how trainings that run side by side share them, and one training on all; by two logical processors."""

import json
import os
import subprocess
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.placement import free_slot, gpus_of, share_of
from pipeline_config.experiment import Compute
from tasks.train.compute.devices import parts_of_batch, use_gpus

# A training with what could go wrong on a second device: batch normalisation, Adam's fused kernel, offsets that hurry,
# early stopping, a last batch of another size, and a checkpoint that is gone on with.
TRAINING = """
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline_config.experiment import Compute, Model
from tasks.input_pipeline import ImageSet
from tasks.train.checkpoint import Checkpoint
from tasks.train.compute import choice, devices
from tasks.train.computed import choose, fit_planned
from tasks.train.registry import build_model

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
random, shape, folder = np.random.default_rng(0), (8, 8, 3), Path(sys.argv[1])
labels = np.arange(70) % 2
pixels = np.clip(random.normal(80 + 60 * labels[:, None, None, None], 60, (70, *shape)), 0, 255).astype(np.uint8)
np.save(folder / "pixels.npy", pixels)
rows = pd.DataFrame({"label": labels, "split": ["train"] * 42 + ["validation"] * 28})
images = ImageSet(rows.assign(image_id=[f"{number:02}" for number in range(70)]), folder / "pixels.npy")
model = Model(
    name="m",
    family="cnn_batchnorm",
    params={"filters": [4], "convolutions": 1, "dense_units": [8], "dropout": 0},
    train={"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "bias_rate": 8, "early_stopping_patience": 4},
)


def fit(names, checkpoint=None, epochs=4):
    choice.logical_gpus = devices.logical_gpus = lambda: names
    part = model.model_copy(update={"train": model.train.model_copy(update={"epochs": epochs})})
    network = build_model(part, shape, 2)
    policy, _ = choose(network, part, images, Compute(dtype="float32", jit=False, threads=1))
    seen = []
    steps = keras.optimizers.Adam.apply

    def note(self, gradients, variables=None):
        seen.append(tf.distribute.get_strategy().num_replicas_in_sync)
        return steps(self, gradients, variables)

    keras.optimizers.Adam.apply = note
    fitted = fit_planned(network, policy, images, part, "m", checkpoint)
    keras.optimizers.Adam.apply = steps
    weights = [float(np.abs(weight).sum()) for weight in network.get_weights()]
    return {"history": fitted.history, "replicas": sorted(set(seen)), "devices": policy.devices, "weights": weights}


both = ["/device:CPU:0", "/device:CPU:1"]
kept = Checkpoint(folder / "kept.npz")
told = {"one": fit([]), "two": fit(both)}
fit(both, kept, epochs=2)
told["resumed"] = fit(both, kept)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def trainings(tmp_path_factory, repository):
    """The same training on one device, on two, and on two with an interruption; in a process, that sets them up."""
    folder = tmp_path_factory.mktemp("devices")
    environment = {**os.environ, "PYTHONPATH": str(repository), "DARKROOM_HOME": str(folder / "home")}
    (folder / "home" / "cache").mkdir(parents=True)
    command = [sys.executable, "-c", TRAINING, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.soak
def test_two_devices_share_every_batch_and_one_does_not(trainings):
    assert (trainings["one"]["replicas"], trainings["one"]["devices"]) == ([1], 1)
    assert (trainings["two"]["replicas"], trainings["two"]["devices"]) == ([2], 2)


@pytest.mark.soak
@pytest.mark.parametrize("metric", ["train_loss", "val_loss"])
def test_the_loss_falls_on_two_devices_as_on_one(trainings, metric):
    one, two = (trainings[name]["history"][metric] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-4)
    assert metric == "val_loss" or two[-1] < 0.8 * two[0]


@pytest.mark.soak
def test_the_weights_that_are_saved_are_those_that_two_devices_trained(trainings):
    assert trainings["two"]["weights"] == pytest.approx(trainings["one"]["weights"], rel=1e-3)


@pytest.mark.soak
def test_a_training_on_two_devices_goes_on_where_it_was_interrupted(trainings):
    for metric in ("train_loss", "val_loss"):
        expected = trainings["two"]["history"][metric]
        assert trainings["resumed"]["history"][metric] == pytest.approx(expected, rel=1e-4)


# Parts of a batch


@pytest.mark.parametrize(
    ("batch_size", "images", "gpus", "parts"),
    [
        (32, 320, 0, 1),
        (32, 320, 1, 1),
        (32, 320, 4, 4),
        (32, 321, 4, 1),
        (32, 322, 4, 2),
        (30, 300, 4, 3),
        (1, 9, 8, 1),
    ],
)
def test_a_batch_goes_to_as_many_gpus_as_share_it_alike(batch_size, images, gpus, parts):
    assert parts_of_batch(batch_size, images, gpus) == parts


@given(batch_size=st.integers(1, 512), images=st.integers(1, 10_000), gpus=st.integers(0, 16))
def test_no_gpu_is_ever_without_images(batch_size, images, gpus):
    parts = parts_of_batch(batch_size, images, gpus)
    assert 1 <= parts <= max(gpus, 1)
    assert batch_size % parts == 0
    assert (images % batch_size or batch_size) >= parts


# Placement


@given(slots=st.integers(1, 16), gpus=st.lists(st.integers(0, 99).map(str), unique=True, max_size=16))
def test_every_gpu_has_work_and_no_two_slots_share_one_while_another_has_none(slots, gpus):
    placed = [gpus_of(slot, slots, gpus) for slot in range(slots)]
    used = [gpu for some in placed for gpu in some]
    assert set(used) == set(gpus)
    assert all(len(some) >= 1 for some in placed) == bool(gpus)
    counts = [used.count(gpu) for gpu in gpus]
    assert not counts or max(counts) - min(counts) <= 1


def test_the_names_are_those_that_cuda_was_told():
    assert gpus_of(1, 2, ("3", "5")) == ("5",)
    with mock.patch.dict(os.environ):
        use_gpus(("3", "5"))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"
        use_gpus(())
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"


def test_a_slot_is_free_once_it_is_not_taken():
    assert [free_slot([]), free_slot([0, 1]), free_slot([1, 2]), free_slot([0, 2])] == [0, 2, 0, 1]


def test_threads_are_shared_out_unless_they_are_set_by_hand():
    with mock.patch("flows.placement.this_processor", return_value=mock.Mock(threads=8)):
        assert [share_of(Compute(), slots).threads for slots in (1, 3, 16)] == [8, 2, 1]
    assert share_of(Compute(threads=5), 4).threads == 5
