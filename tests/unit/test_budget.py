"""Trainings that end by the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_config.experiment import Train
from tasks.train.budget import Budget, steps_within
from tasks.train.steps import steps_of
from tests.unit.test_resume import fitted, make_images, make_model


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("pixels"))


@given(
    epochs=st.integers(1, 30),
    images=st.integers(1, 500),
    batch_size=st.integers(1, 64),
    skip_easy=st.sampled_from([0.0, 0.3]),
    batches=st.integers(1, 400),
)
def test_a_plan_has_as_many_batches_as_were_asked_for_and_at_most_all(epochs, images, batch_size, skip_easy, batches):
    train = Train(epochs=epochs, batch_size=batch_size, skip_easy=skip_easy)
    steps, all_steps = steps_within(train, images, batches), steps_of(train, images)
    assert steps.total == min(batches, all_steps.total) or steps.total == batches
    assert len(steps.batches) == len(steps.images) <= epochs
    assert min(steps.batches) > 0
    for seen, count in zip(steps.images, steps.batches, strict=True):
        assert (count - 1) * batch_size < seen <= count * batch_size


def test_what_is_left_of_the_time_is_what_more_batches_there_are():
    budget = Budget(Train(epochs=40, batch_size=10, time_budget="100s"), 100, 100.0)
    assert budget.steps(done=0, seconds=0, step_seconds=1.0).batches == (10,) * 10
    assert budget.steps(done=30, seconds=60, step_seconds=1.0).batches == (10,) * 7
    assert budget.steps(done=35, seconds=60, step_seconds=2.0).batches == (10, 10, 10, 10, 10, 5)
    assert budget.steps(done=30, seconds=200, step_seconds=1.0).batches == (10,) * 3  # it is late already
    assert len(budget.steps(done=0, seconds=0, step_seconds=0.01).batches) == 40


class Clock:
    """A tenth of a second passes with every loss that is looked at: one a batch, and one after an epoch."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize("more", [{}, {"skip_easy": 0.3}])
def test_a_training_ends_in_its_time_with_its_rate_fallen(images, more, monkeypatch):
    """Of its 3 s two epochs of 12 batches and their ends take 2.6; in a batch's mean time of 0.108 s 3 more."""
    from tasks.train import watching

    clock, seen = Clock(), []

    def look(*told):
        clock.now += 0.1
        seen.append(told[1])

    monkeypatch.setattr(watching, "time", clock)
    monkeypatch.setattr(watching, "_check_finite", look)
    settings = {"epochs": 99, "batch_size": 2, "time_budget": "3s", "schedule": "cosine"}
    more = {**settings, "early_stopping_patience": None, "lookahead": False, "augmentation": None, **more}
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
