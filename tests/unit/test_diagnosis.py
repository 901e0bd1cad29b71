"""What a training's curves are said to show: the kind, the figures in the sentence, and that no history breaks it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.train.diagnosis import GAP, LOW_ACCURACY, RISE, SERIES, diagnose


def history(train_loss, val_loss, train_accuracy=0.9, val_accuracy=0.9):
    """Curves of these losses; an accuracy given as one number is that of every epoch."""

    def series(values):
        return values if isinstance(values, list) else [values] * len(train_loss)

    return dict(zip(SERIES, (train_loss, series(train_accuracy), series(val_loss), series(val_accuracy)), strict=True))


FALLING = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05]
FLAT = [1.0, 0.8, 0.6, 0.5, 0.45, 0.44, 0.44, 0.45, 0.44, 0.44]
IMPROVING = [1.0, 0.9, 0.8, 0.75, 0.7, 0.65, 0.6, 0.56, 0.52, 0.48]
RISING = [1.0, 0.8, 0.6, 0.5, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_curves_that_have_levelled_out_close_together_are_good():
    diagnosis = diagnose(history(FALLING, FLAT, 0.91, 0.88), 10)
    assert diagnosis.kind == "good"
    assert diagnosis.sentence == "Good: accuracy is 0.910 on training and 0.880 on validation images at epoch 10 of 10."


def test_validation_loss_that_rose_while_the_training_loss_fell_is_overfitting():
    diagnosis = diagnose(history(FALLING, RISING), 10)
    assert diagnosis.kind == "overfitting"
    assert "rose from 0.45 at epoch 5 to 0.9 at epoch 10" in diagnosis.sentence


def test_rise_after_the_epoch_that_was_kept_is_told_and_not_held_against_it():
    diagnosis = diagnose(history(FALLING, RISING), 5)
    assert diagnosis.kind == "good"
    assert "at epoch 5 of 10; its weights were kept, the validation loss rose to 0.9 after it" in diagnosis.sentence


def test_validation_loss_that_rises_with_the_training_loss_is_not_overfitting():
    later = [0.5, 0.5, 0.4, 0.3, 0.3, 0.35, 0.4, 0.4, 0.45, 0.5]
    assert diagnose(history(later, RISING), 10).kind == "good"


def test_lower_loss_that_came_after_the_chosen_epoch_is_no_rise():
    assert diagnose(history([1.0, 0.3, 0.4], [1.0, 0.8, 0.5]), 2).kind != "overfitting"


def test_training_accuracy_far_above_validation_is_overfitting():
    diagnosis = diagnose(history(FALLING, FLAT, 0.99, 0.80), 6)
    assert diagnosis.kind == "overfitting"
    assert "0.990 on training and 0.800 on validation images at epoch 6 of 10" in diagnosis.sentence


def test_gap_is_that_of_the_chosen_epoch():
    accuracies = [0.8] * 5 + [0.99] * 5
    assert diagnose(history(FALLING, FLAT, accuracies, 0.80), 5).kind == "good"
    assert diagnose(history(FALLING, FLAT, accuracies, 0.80), 6).kind == "overfitting"


def test_validation_loss_that_falls_until_the_end_is_still_improving():
    diagnosis = diagnose(history(FALLING, IMPROVING, 0.6, 0.6), 10)
    assert diagnosis.kind == "still_improving"
    assert "fell from 0.56 at epoch 8 to 0.48 at epoch 10 of 10" in diagnosis.sentence


def test_gap_while_the_validation_loss_still_falls_is_still_improving():
    assert diagnose(history(FALLING, IMPROVING, 0.9, 0.7), 10).kind == "still_improving"


def test_last_epoch_may_be_a_little_worse_than_the_one_before():
    assert diagnose(history(FALLING, [*IMPROVING[:-1], 0.53]), 9).kind == "still_improving"


def test_training_that_early_stopping_ended_is_not_still_improving():
    val_losses = [2 * 0.9**epoch for epoch in range(25)] + [0.2] * 5  # lowest at the 25th of 30, patience 5
    train_losses = [2 * 0.9**epoch for epoch in range(30)]
    assert diagnose(history(train_losses, val_losses), 25).kind == "good"


def test_improvement_too_small_to_wait_for_is_good():
    assert diagnose(history(FALLING, [*FLAT[:-1], 0.436]), 10).kind == "good"


def test_low_accuracy_that_has_stopped_rising_is_underfitting():
    diagnosis = diagnose(history([2.3] * 10, 2.3, 0.1, 0.1), 10)
    assert diagnosis.kind == "underfitting"
    assert "0.100 on training and 0.100 on validation" in diagnosis.sentence


def test_training_accuracy_that_dropout_lowers_is_no_underfitting():
    assert diagnose(history(FALLING, FLAT, 0.6, 0.8), 10).kind == "good"


def test_training_loss_that_ended_above_its_start_has_diverged():
    diagnosis = diagnose(history([0.5, 0.6, 2.1], [0.5, 0.6, 2.0]), 1)
    assert diagnosis.kind == "diverged"
    assert "rose from 0.5 at epoch 1 to 2.1 at epoch 3" in diagnosis.sentence


def test_training_loss_that_came_down_again_has_not_diverged():
    assert diagnose(history([0.5, 2.1, 0.3], [0.5, 0.5, 0.5]), 3).kind == "good"


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_figure_that_is_no_number_has_diverged_and_is_named(name, figure):
    curves = history(list(FALLING), list(FLAT), [0.9] * 10, [0.9] * 10)
    curves[name][3] = figure
    diagnosis = diagnose(curves, 10)
    assert diagnosis.kind == "diverged"
    assert f"{name} became {figure} at epoch 4" in diagnosis.sentence


# A single epoch, as of a model without epochs


@pytest.mark.parametrize(
    ("train_accuracy", "val_accuracy", "kind"),
    [(1.0, 0.98, "good"), (1.0, 0.7, "overfitting"), (0.3, 0.28, "underfitting")],
)
def test_single_epoch_is_judged_by_its_accuracies(train_accuracy, val_accuracy, kind):
    diagnosis = diagnose(history([0.1], [0.4], train_accuracy, val_accuracy), 1)
    assert diagnosis.kind == kind
    assert "epoch" not in diagnosis.sentence


# Histories that are none


@pytest.mark.parametrize("wrong", [{}, {"train_loss": [1.0]}, history([1.0, 0.9], [1.0]), history([], [])])
def test_series_that_do_not_belong_together_are_refused_with_their_lengths(wrong):
    with pytest.raises(ValueError, match="expected one value an epoch in each series; received train_loss of "):
        diagnose(wrong, 1)


@pytest.mark.parametrize("epoch", [0, 11, -1])
def test_epoch_that_was_not_trained_is_refused(epoch):
    with pytest.raises(ValueError, match=f"expected 1 to 10, epochs count from 1; received {epoch}"):
        diagnose(history(FALLING, FLAT), epoch)


# Every history

FIGURES = st.floats(0, 20)
SHARES = st.floats(0, 1)


@st.composite
def trainings(draw, losses=FIGURES, accuracies=SHARES):
    """A history of 1 to 30 epochs and the epoch that was chosen."""
    epochs = draw(st.integers(1, 30))

    def series(values):
        return draw(st.lists(values, min_size=epochs, max_size=epochs))

    curves = {name: series(accuracies if "accuracy" in name else losses) for name in SERIES}
    return curves, draw(st.integers(1, epochs))


@given(trainings(st.floats(), st.floats()))
def test_no_history_breaks_it_and_the_sentence_is_one_line_that_opens_with_its_kind(training):
    diagnosis = diagnose(*training)
    assert diagnosis.sentence.startswith(diagnosis.kind.capitalize().replace("_", " ") + ": ")
    assert diagnosis.sentence.endswith(".")
    assert "\n" not in diagnosis.sentence


@given(trainings())
def test_order_of_the_series_and_other_metrics_do_not_matter(training):
    curves, chosen = training
    others = {"learning_rate": [math.nan], **dict(reversed(curves.items()))}
    assert diagnose(others, chosen) == diagnose(curves, chosen)


@given(trainings())
def test_good_means_a_small_gap_and_no_low_accuracy_and_no_rise(training):
    curves, chosen = training
    kind = diagnose(*training).kind
    train, validation = (curves[name][chosen - 1] for name in ("train_accuracy", "val_accuracy"))
    if kind == "good":
        assert train - validation <= GAP
        assert max(train, validation) >= LOW_ACCURACY
        assert curves["train_loss"][-1] <= curves["train_loss"][0] + RISE
    if kind == "underfitting":
        assert max(train, validation) < LOW_ACCURACY


@given(trainings(), st.floats(0, 1))
def test_wider_gap_never_turns_overfitting_into_good(training, fall):
    curves, chosen = training
    if diagnose(curves, chosen).kind == "overfitting":
        lower = [accuracy - fall for accuracy in curves["val_accuracy"]]
        assert diagnose({**curves, "val_accuracy": lower}, chosen).kind == "overfitting"
