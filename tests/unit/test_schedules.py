"""Learning-rate schedules, against figures worked out by hand, and what holds for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_config.experiment import Train
from tasks.train.schedules import learning_rate, plateaus
from tasks.train.steps import steps_of


def rate(step, losses=(), **train):
    settings = Train(epochs=4, batch_size=10, learning_rate=0.01, **train)
    return learning_rate(settings, step, steps_of(settings, 50), losses)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.01), (10, 0.005), (20, 0.0)])
def test_cosine_falls_from_the_whole_rate_to_nothing(step, expected):
    assert rate(step, schedule="cosine") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.002), (3, 0.008), (4, 0.01), (5, 0.01), (12.5, 0.005), (20, 0.0)])
def test_warm_up_rises_in_a_straight_line_before_the_cosine(step, expected):
    assert rate(step, schedule="cosine", warmup_epochs=1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.01), (5, 0.0075), (20, 0.0)])
def test_linear_falls_from_the_whole_rate_to_nothing(step, expected):
    assert rate(step, schedule="linear") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0004), (3, 0.0052), (6, 0.01), (13, 0.005), (20, 4e-8)])
def test_one_cycle_rises_for_three_tenths_and_falls_to_almost_nothing(step, expected):
    assert rate(step, schedule="one_cycle") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.002), (2.3, 0.006), (4.6, 0.01), (12.3, 0.005), (20, 0)])
def test_triangular_rises_from_a_fifth_for_23_hundredths_and_falls_in_a_straight_line(step, expected):
    assert rate(step, schedule="triangular") == pytest.approx(expected)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.002), (4.6, 0.01), (12.3, 0.00535), (20, 0.0007)])
def test_triangular_ends_as_published_where_weights_are_averaged(step, expected):
    assert rate(step, schedule="triangular", lookahead=True) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("losses", "reductions"),
    [([], 0), ([3, 2, 1], 0), ([1, 2, 2], 1), ([1, 1, 1], 1), ([1, 2, 2, 2, 2], 2), ([1, 2, 0.5, 2, 0.5], 1)],
)
def test_rate_falls_to_a_fifth_after_so_many_epochs_without_a_lower_loss(losses, reductions):
    assert plateaus(losses, 2) == reductions
    settings = {"schedule": "reduce_on_plateau", "plateau_patience": 2}
    assert rate(7, losses, **settings) == pytest.approx(0.01 * 0.2**reductions)


@given(
    schedule=st.sampled_from(["constant", "linear", "cosine", "one_cycle", "triangular", "reduce_on_plateau"]),
    epochs=st.integers(1, 9),
    steps=st.integers(1, 30),
    data=st.data(),
)
def test_rate_of_every_step_is_above_zero_and_at_most_the_one_that_was_set(schedule, epochs, steps, data):
    warmup = data.draw(st.integers(0, epochs - 1)) if schedule == "cosine" else 0
    step = data.draw(st.integers(0, epochs * steps - 1))
    losses = data.draw(st.lists(st.floats(0, 9), max_size=epochs))
    train = Train(epochs=epochs, batch_size=1, learning_rate=0.3, schedule=schedule, warmup_epochs=warmup)
    assert 0 < learning_rate(train, step, steps_of(train, steps), losses) <= 0.3 * (1 + 1e-12)


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"schedule": "one_cycle", "warmup_epochs": 1}, "warmup_epochs is for schedule: cosine"),
        ({"schedule": "cosine", "epochs": 3, "warmup_epochs": 3}, "fewer than the 3 epochs"),
    ],
)
def test_warm_up_without_a_cosine_or_without_an_end_is_refused(train, told):
    with pytest.raises(ValidationError, match=told):
        Train(**train)
