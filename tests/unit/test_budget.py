"""Trainings that end by the clock."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_config.experiment import Train
from tasks.train.steps import steps_of
from tests.unit.test_resume import fitted, make_images, make_model


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("pixels"))


@given(
    images=st.integers(1, 500),
    batch_size=st.integers(1, 64),
    epochs=st.integers(1, 30),
    seconds=st.floats(-5, 500),
    data=st.data(),
)
def test_a_plan_fills_the_time_that_is_left(images, batch_size, epochs, seconds, data):
    everything = steps_of(Train(epochs=epochs, batch_size=batch_size), images)
    done = data.draw(st.integers(0, everything.total))
    steps = everything.within(seconds, 1.0, done, epochs)
    assert steps.total == min(everything.total, max(1, done + max(int(seconds), 0)))
    of_epochs = [steps.of(epoch) for epoch in range(steps.epochs)]
    assert sum(of_epochs) == steps.total
    assert set(of_epochs[:-1]) <= {everything.per_epoch}
    assert 0 < of_epochs[-1] <= everything.per_epoch
    assert [steps.before(epoch) for epoch in range(steps.epochs)] == [0, *accumulate(of_epochs)][:-1]
    assert steps.images_of(steps.epochs - 1) == min(images, of_epochs[-1] * batch_size)


class Clock:
    """A tenth of a second passes with every loss that is looked at: one a batch, and one after an epoch."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_a_training_ends_in_its_time_with_its_rate_fallen(images, monkeypatch):
    """Of its 3 s two epochs of 12 batches and their ends take 2.6; in a batch's mean time of 0.108 s 3 more."""
    from tasks.train import watching

    clock, seen = Clock(), []

    def look(*told):
        clock.now += 0.1
        seen.append(told[1])

    monkeypatch.setattr(watching, "time", clock)
    monkeypatch.setattr(watching, "_check_finite", look)
    settings = {"epochs": 99, "batch_size": 2, "time_budget": "3s", "schedule": "cosine"}
    more = {**settings, "early_stopping_patience": None, "lookahead": False, "augmentation": None}
    _, fit = fitted(make_model(train=more), images)
    assert (seen.count("training"), seen.count("validation")) == (27, 3)
    assert fit.images_seen == 2 * 27
    assert fit.seconds == pytest.approx(3.0)
    assert fit.history["learning_rate"][-1] < 0.01 * fit.history["learning_rate"][0]


def test_a_budget_goes_on_where_it_was_interrupted(images, tmp_path):
    from tasks.train.checkpoint import Checkpoint
    from tests.unit.test_resume import interrupted_after

    model = make_model(train={"epochs": 5, "time_budget": "1h", "early_stopping_patience": None})
    kept = Checkpoint(tmp_path / "kept.npz")
    interrupted_after(2, model, images, kept)
    _, fit = fitted(model, images, kept)
    assert (len(fit.history["val_loss"]), fit.resumed_after) == (5, 2)


def test_stages_have_their_own_epochs():
    with pytest.raises(ValidationError, match="time_budget: none with stages"):
        Train(time_budget="10m", stages=[{"trainable": "none", "epochs": 1, "learning_rate": 0.1}])
