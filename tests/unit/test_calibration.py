"""Calibration: the bins of a reliability diagram, the expected calibration error and its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import predictions
from tasks.evaluate import calibration
from tasks.evaluate.calibration import (
    BINS,
    calibration_error_interval,
    expected_calibration_error,
    reliability_bins,
)


def table_of(confidences, correct):
    """Of two classes, of which the first is always predicted."""
    confidences, labels = np.asarray(confidences, dtype=np.float64), np.where(correct, 0, 1)
    ids = [f"{row:06}" for row in range(len(labels))]
    return predictions.make_table(ids, labels, np.column_stack([confidences, 1 - confidences]), ["a", "b"])


def draw(generator, rows, overconfidence):
    confidences = 0.5 + 0.5 * generator.beta(4, 1, rows)
    return table_of(confidences, generator.random(rows) < confidences - overconfidence)


# Two rows in the bin above 12/15 = 0.8, one of them right; two in that above 8/15, both right.
HAND = table_of([0.82, 0.86, 0.54, 0.58], [True, False, True, True])


def test_bins_of_the_case_counted_by_hand():
    bins = reliability_bins(HAND)

    assert bins.count.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0]
    assert (bins.low[8], bins.high[8]) == pytest.approx((8 / 15, 9 / 15))
    assert (bins.confidence[12], bins.accuracy[12]) == pytest.approx((0.84, 0.5))
    assert (bins.confidence[8], bins.accuracy[8]) == pytest.approx((0.56, 1))
    assert np.isnan(bins.accuracy[[0, 14]]).all()
    assert np.isnan(bins.confidence[[0, 14]]).all()


def test_error_of_the_case_counted_by_hand():
    assert expected_calibration_error(HAND) == pytest.approx(0.5 * 0.34 + 0.5 * 0.44)


def test_confidence_at_an_end_belongs_to_the_bin_below_and_1_to_the_last():
    assert np.flatnonzero(reliability_bins(table_of([0.8, 1.0, 0.6], [True] * 3)).count).tolist() == [8, 11, 14]


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    assert expected_calibration_error(table_of([1, 1], [True, True])) == 0
    assert expected_calibration_error(table_of([1, 1], [False, False])) == 1


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 80), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_bins_hold_all_rows_and_make_up_accuracy_and_error(rows, classes, seed):
    generator = np.random.default_rng(seed)
    names = [str(label) for label in range(classes)]
    probabilities = generator.dirichlet(np.ones(classes), rows)
    ids = [str(row) for row in range(rows)]
    table = predictions.make_table(ids, generator.integers(0, classes, rows), probabilities, names)

    bins = reliability_bins(table)
    filled = bins.count > 0
    assert len(bins.count) == BINS
    assert bins.count.sum() == rows
    assert (bins.count * bins.accuracy)[filled].sum() == pytest.approx(predictions.correct(table).sum())
    assert (bins.low[filled] < bins.confidence[filled] + 1e-12).all()
    assert (bins.confidence[filled] <= bins.high[filled] + 1e-12).all()
    # Written out as in the paper.
    error = sum(
        count / rows * abs(accuracy - confidence)
        for count, accuracy, confidence in zip(bins.count, bins.accuracy, bins.confidence, strict=True)
        if count
    )
    assert expected_calibration_error(table) == pytest.approx(error)


@pytest.mark.parametrize("overconfidence", [0.0, 0.05, 0.15])
def test_interval_covers_the_truth_about_as_often_as_it_says(overconfidence, monkeypatch):
    monkeypatch.setattr(calibration, "BOOTSTRAP_SAMPLES", 300)  # for the test's time
    generator = np.random.default_rng(1)
    intervals = [calibration_error_interval(draw(generator, 300, overconfidence)) for _ in range(60)]

    # Confidences are all at least 0.5, so none is too low to be too high by as much.
    covered = np.mean([interval.low <= overconfidence <= interval.high for interval in intervals])
    assert covered >= 0.87


def test_interval_is_narrow_where_there_are_many_rows():
    interval = calibration_error_interval(draw(np.random.default_rng(0), 4_000, 0.15))

    assert interval.low < 0.15 < interval.high
    assert interval.high - interval.low < 0.04


def test_single_row_has_no_interval():
    interval = calibration_error_interval(HAND.iloc[:1])

    assert np.isnan([interval.low, interval.high]).all()
