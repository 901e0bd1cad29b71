"""The interval of an accuracy and the paired test."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks.statistics import accuracy_interval, mcnemar


def outcomes(right, wrong):
    return np.array([True] * right + [False] * wrong)


def paired(both, only_first, only_second, neither):
    first = outcomes(both + only_first, only_second + neither)
    second = np.array([True] * both + [False] * only_first + [True] * only_second + [False] * neither)
    return first, second


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_interval_contains_the_accuracy(right, wrong):
    assume(right + wrong > 0)
    interval = accuracy_interval(outcomes(right, wrong))

    assert 0 <= interval.low <= right / (right + wrong) <= interval.high <= 1


def test_interval_is_that_of_the_normal_approximation_for_many_rows():
    interval = accuracy_interval(outcomes(9_000, 1_000))

    half = 1.96 * (0.9 * 0.1 / 10_000) ** 0.5
    assert (interval.low, interval.high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.1 * half)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    truth, rows, trials = 0.85, 300, 400
    intervals = [accuracy_interval(generator.random(rows) < truth) for _ in range(trials)]

    covered = sum(interval.low <= truth <= interval.high for interval in intervals) / trials
    assert 0.92 <= covered <= 0.98


@pytest.mark.parametrize("rows", [1, 10, 360])
def test_perfect_and_hopeless_accuracies_get_the_exact_interval(rows):
    # Clopper and Pearson with all of n right: low is the p for which p**n is 2.5 %.
    low = 0.025 ** (1 / rows)

    perfect, hopeless = accuracy_interval(outcomes(rows, 0)), accuracy_interval(outcomes(0, rows))
    assert (perfect.low, perfect.high) == pytest.approx((low, 1))
    assert (hopeless.low, hopeless.high) == pytest.approx((0, 1 - low))


def test_interval_is_the_same_every_time_and_in_every_order():
    correct = outcomes(90, 10)

    assert accuracy_interval(correct) == accuracy_interval(np.random.default_rng(1).permutation(correct))


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 2 x 1/2
        (5, 0, 2 / 32),
        (6, 0, 2 / 64),
        (1, 7, 2 * (1 + 8) / 256),
        (3, 3, 1.0),
    ],
)
def test_mcnemar_of_cases_counted_by_hand(only_first, only_second, p_value):
    result = mcnemar(*paired(10, only_first, only_second, 4))

    assert (result.only_first, result.only_second) == (only_first, only_second)
    assert result.p_value == pytest.approx(p_value)


def test_rows_on_which_both_agree_change_nothing():
    assert mcnemar(*paired(0, 2, 9, 0)) == mcnemar(*paired(500, 2, 9, 80))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_symmetric(only_first, only_second):
    first, second = paired(5, only_first, only_second, 5)
    there, back = mcnemar(first, second), mcnemar(second, first)

    assert there.p_value == pytest.approx(back.p_value)
    assert there.first_is_better() == back.first_is_worse()
    assert there.first_is_worse() == back.first_is_better()


@pytest.mark.parametrize(
    ("only_first", "only_second", "better", "worse"),
    [(6, 0, True, False), (0, 6, False, True), (5, 0, False, False), (0, 5, False, False), (0, 0, False, False)],
)
def test_better_means_more_than_chance_explains(only_first, only_second, better, worse):
    result = mcnemar(*paired(20, only_first, only_second, 3))

    assert (result.first_is_better(), result.first_is_worse()) == (better, worse)
    assert result.first_is_better(alpha=0.0) is False


def test_no_difference_is_found_where_there_is_none():
    generator = np.random.default_rng(2)
    trials = [mcnemar(generator.random(200) < 0.8, generator.random(200) < 0.8) for _ in range(300)]

    false_alarms = sum(trial.p_value < 0.05 for trial in trials) / len(trials)
    assert false_alarms <= 0.07
