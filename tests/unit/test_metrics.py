"""Metrics and reports, pinned against scikit-learn and against cases counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import predictions
from tasks.evaluate.metrics import classification_report, confusion_counts
from tasks.evaluate.metrics import test_metrics as metrics_of  # pytest would collect it by its own name
from tasks.evaluate.text_report import matrix_text, report_text


def table_of(labels, probabilities, names=None):
    probabilities = np.asarray(probabilities, dtype=np.float64)
    names = names or [f"class {label}" for label in range(probabilities.shape[1])]
    return predictions.make_table([f"id{row}" for row in range(len(labels))], labels, probabilities, names)


def random_table(rows, classes, seed):
    """Predictions that are right about half the time, without equal probabilities in a row."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    probabilities = generator.dirichlet(np.ones(classes), rows)
    probabilities[np.arange(rows), labels] += 0.3
    return table_of(labels, probabilities / probabilities.sum(axis=1, keepdims=True))


# Three classes, six rows: predicted 0 0 1 1 2 0 for true 0 0 0 1 1 2.
HAND = table_of(
    [0, 0, 0, 1, 1, 2],
    [[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0.6, 0.4, 0.0]],
    ["ant", "bee", "cat"],
)

tables = st.builds(random_table, rows=st.integers(1, 60), classes=st.integers(2, 9), seed=st.integers(0, 2**32 - 1))


def test_metrics_of_the_case_counted_by_hand():
    metrics = metrics_of(HAND)

    assert metrics["test_accuracy"] == pytest.approx(3 / 6)
    assert metrics["test_macro_precision"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert metrics["test_macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert metrics["test_macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    of_true = [0.8, 0.5, 0.2, 0.8, 0.3, 1e-7]
    assert metrics["test_loss"] == pytest.approx(sum(-math.log(probability) for probability in of_true) / 6)
    assert metrics["test_accuracy_low"] < 0.5 < metrics["test_accuracy_high"]
    assert "test_top5_accuracy" not in metrics


def test_confusion_of_the_case_counted_by_hand():
    assert confusion_counts(HAND).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]


def test_report_of_the_case_counted_by_hand():
    report = classification_report(HAND)

    assert report.index.tolist() == ["ant", "bee", "cat", "macro average", "weighted average", "accuracy"]
    assert report["support"].tolist() == [3, 2, 1, 6, 6, 6]
    assert report.loc["ant", ["precision", "recall", "f1"]].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert report.loc["cat", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]
    assert report.loc["weighted average", "recall"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 6)
    assert report.loc["accuracy", "f1"] == pytest.approx(0.5)
    assert report.loc["accuracy", ["precision", "recall"]].isna().all()


@settings(deadline=None, max_examples=60)
@given(tables)
def test_metrics_are_scikit_learns(table):
    import sklearn.metrics

    labels, predicted, probabilities = (
        part(table) for part in (predictions.labels, predictions.predicted, predictions.probabilities)
    )
    every_label = np.arange(probabilities.shape[1])
    metrics = metrics_of(table)

    assert metrics["test_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    assert metrics["test_loss"] == pytest.approx(sklearn.metrics.log_loss(labels, probabilities, labels=every_label))
    for name in ("precision", "recall", "f1"):
        score = getattr(sklearn.metrics, f"{name}_score")
        assert metrics[f"test_macro_{name}"] == pytest.approx(
            score(labels, predicted, average="macro", zero_division=0)
        )
    if len(every_label) > 5:
        top = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=every_label)
        assert metrics["test_top5_accuracy"] == pytest.approx(top)


@settings(deadline=None, max_examples=40)
@given(tables)
def test_report_and_confusion_agree_with_the_metrics(table):
    metrics, report, counts = metrics_of(table), classification_report(table), confusion_counts(table)

    assert np.trace(counts) / len(table) == pytest.approx(metrics["test_accuracy"])
    assert report["f1"].iloc[-1] == pytest.approx(metrics["test_accuracy"])
    assert counts.sum(axis=1).tolist() == report["support"].iloc[:-3].tolist()
    for name in ("precision", "recall", "f1"):
        assert report.loc["macro average", name] == pytest.approx(metrics[f"test_macro_{name}"])
    recall = np.diag(counts) / np.maximum(counts.sum(axis=1), 1)
    precision = np.diag(counts) / np.maximum(counts.sum(axis=0), 1)
    np.testing.assert_allclose(report["recall"].iloc[:-3], recall)
    np.testing.assert_allclose(report["precision"].iloc[:-3], precision)


@settings(deadline=None, max_examples=40)
@given(tables, st.integers(0, 2**32 - 1))
def test_order_of_rows_changes_nothing(table, seed):
    shuffled = table.sample(frac=1, random_state=seed)

    assert metrics_of(shuffled) == pytest.approx(metrics_of(table), rel=1e-12)
    pd.testing.assert_frame_equal(classification_report(shuffled), classification_report(table))
    assert (confusion_counts(shuffled) == confusion_counts(table)).all()


def test_class_without_rows_or_predictions_keeps_its_place_and_leaves_the_averages_alone():
    table = table_of([0, 0, 3, 3], [[0.9, 0, 0, 0.1], [0.6, 0, 0, 0.4], [0.2, 0, 0, 0.8], [0.7, 0, 0, 0.3]])

    report = classification_report(table)
    assert report["support"].tolist() == [2, 0, 0, 2, 4, 4, 4]
    assert report["recall"].iloc[:4].tolist() == [1, 0, 0, 0.5]
    assert confusion_counts(table).shape == (4, 4)
    assert metrics_of(table)["test_macro_recall"] == pytest.approx(0.75)


def test_five_best_are_asked_for_only_above_five_classes():
    assert "test_top5_accuracy" not in metrics_of(random_table(20, 5, 0))
    assert "test_top5_accuracy" in metrics_of(random_table(20, 6, 0))


def test_five_best_counts_the_fifth_and_not_the_sixth():
    falling = [0.3, 0.25, 0.2, 0.12, 0.08, 0.05]

    assert metrics_of(table_of([4, 5], [falling, falling]))["test_top5_accuracy"] == 0.5


def test_five_best_is_never_below_the_accuracy_among_equal_probabilities():
    metrics = metrics_of(table_of([0, 5], np.full((2, 6), 1 / 6)))

    assert metrics["test_accuracy"] == 0.5
    assert metrics["test_top5_accuracy"] == 0.5


def test_loss_of_certain_and_right_predictions_is_zero_and_positive():
    loss = metrics_of(table_of([0, 1], np.eye(2)))["test_loss"]

    assert math.copysign(1, loss) == 1
    assert loss == 0


def test_probability_that_is_not_a_number_shows_in_the_loss():
    assert math.isnan(metrics_of(table_of([0, 1], [[0.9, 0.1], [np.nan, np.nan]]))["test_loss"])


def test_empty_table_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="no rows"):
        metrics_of(HAND.iloc[:0])


def test_report_text_is_aligned_and_whole():
    lines = report_text(classification_report(HAND)).splitlines()

    assert lines[0].split() == ["class", "precision", "recall", "f1", "support"]
    assert lines[1].split() == ["ant", "0.6667", "0.6667", "0.6667", "3"]
    assert lines[-1].split() == ["accuracy", "0.5000", "6"]
    assert len({len(line) for line in lines if line}) == 1


def test_matrix_text_is_aligned_and_whole():
    lines = matrix_text(confusion_counts(HAND), ["ant", "bee", "a very long name"]).splitlines()

    assert lines[0].split()[-3:] == ["0", "1", "2"]
    assert lines[1].split() == ["0", "ant", "2", "1", "."]
    assert lines[3].split()[-3:] == ["1", ".", "."]
    assert len({len(line) for line in lines}) == 1
