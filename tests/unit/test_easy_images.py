"""Which images an epoch leaves out, and that trainings which leave some out go as they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model, Train
from tasks.train.compiling import compile_model
from tasks.train.easy_images import count_kept, draw_kept, unseen, watch_losses
from tasks.train.fit import fit_model
from tasks.train.registry import build_model
from tasks.train.steps import steps_of
from tests.unit.test_resume import SHAPE, assert_same, fitted, interrupted_after, make_images, make_model

SKIPPING = {"skip_easy": 0.4, "epochs": 6, "early_stopping_patience": None, "lookahead": False}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("pixels"))


def test_the_first_and_the_last_epochs_have_all_images():
    train = Train(epochs=10, skip_easy=0.35, batch_size=30)
    assert [count_kept(train, 100, epoch) for epoch in range(10)] == [100, 100, 65, 65, 65, 65, 65, 65, 100, 100]
    assert steps_of(train, 100).batches == (4, 4, 3, 3, 3, 3, 3, 3, 4, 4)


@given(
    st.integers(1, 60).flatmap(
        lambda count: st.tuples(
            st.lists(st.floats(0, 9, width=32), min_size=count, max_size=count), st.integers(0, count)
        )
    ),
    st.integers(0, 3),
    st.integers(0, 9),
)
def test_what_is_left_out_is_among_the_easiest(drawn, seed, epoch):
    losses, count = np.array(drawn[0], np.float32), drawn[1]
    kept = draw_kept(losses, count, seed, epoch)
    assert len(kept) == count
    assert (np.diff(kept) > 0).all()
    left_out = np.setdiff1d(np.arange(len(losses)), kept)
    if len(left_out):
        easiest = np.sort(losses)[: int(np.ceil(len(left_out) / 0.7))]
        assert losses[left_out].max() <= easiest[-1]
    np.testing.assert_array_equal(draw_kept(losses, count, seed, epoch), kept)


def test_images_that_were_never_seen_are_kept():
    losses = unseen(10)
    losses[:5] = 0.1
    assert set(range(5, 10)) < set(draw_kept(losses, 7, 0, 0).tolist())


def test_losses_are_those_of_the_images_of_the_last_batch(images):
    model = make_model(params={"filters": [4], "convolutions": 1, "dense_units": [8], "dropout": 0}, train=SKIPPING)
    network = build_model(model, SHAPE, 3)
    for layer in network.layers:  # batch normalisation then has its averages in training, too, as in a prediction
        layer.trainable = type(layer).__name__ != "BatchNormalization"
    compile_model(network, model.train)
    last = watch_losses(network, 8)
    pixels, targets = images.read(np.arange(5)), np.eye(3, dtype=np.float32)[images.labels[:5]]
    network.evaluate(pixels, targets, verbose=0)
    assert not last.numpy().any()
    expected = -np.log(network.predict_on_batch(pixels)[np.arange(5), images.labels[:5]])
    network.train_on_batch(pixels, targets)
    np.testing.assert_allclose(last.numpy(), [*expected, 0, 0, 0], rtol=1e-4)


def test_a_training_sees_fewer_images_and_goes_on_after_an_interruption(images, tmp_path):
    from tasks.train.checkpoint import Checkpoint

    model = make_model(train=SKIPPING)
    undisturbed = fitted(model, images)
    assert undisturbed[1].images_seen == 24 + 24 + 3 * 15 + 24
    assert len(undisturbed[1].history["val_loss"]) == 6
    kept = Checkpoint(tmp_path / "kept.npz")
    interrupted_after(3, model, images, kept)
    assert_same(undisturbed, fitted(model, images, kept), 3)


def test_a_box_head_has_no_single_loss_to_go_by(images):
    train = Train(skip_easy=0.3)
    model = Model(name="boxes", family="class_and_box", params={"filters": [4], "dense_units": [8]}, train=train)
    with pytest.raises(ConfigurationError, match="skip_easy: expected 0 for a model with a box head"):
        fit_model(build_model(model, SHAPE, 3), images, train, "boxes")
