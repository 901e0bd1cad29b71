"""Metrics and reports, pinned against scikit-learn and against cases counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_config.metric_names import HIGHER_IS_BETTER
from tasks import predictions
from tasks.evaluate.macro_f1 import macro_f1_interval
from tasks.evaluate.metrics import classification_report, confusion_counts
from tasks.evaluate.metrics import test_metrics as metrics_of  # pytest would collect it by its own name
from tasks.evaluate.ranking import macro_auc_interval, roc_auc
from tasks.evaluate.text_report import matrix_text, report_text
from tasks.statistics import exact_interval

HEADLINES = ("accuracy", "loss", "macro_f1", "roc_auc", "ece", "brier")


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
    squared = [0.06, 0.38, 1.14, 0.06, 0.86, 1.52]  # of the first row (0.8 - 1)² + 0.1² + 0.1²
    assert metrics["test_brier"] == pytest.approx(sum(squared) / 6)
    # Of 9 pairs of an ant and another 7 are in order, of 8 of a bee 5 and one is equal, of 5 of a cat none.
    assert metrics["test_roc_auc"] == pytest.approx((7 / 9 + 5.5 / 8 + 0 / 5) / 3)
    assert metrics["test_weighted_recall"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 6)
    assert metrics["test_worst_class_recall"] == 0
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


@settings(deadline=None, max_examples=30)
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
        for average in ("macro", "weighted"):
            expected = score(labels, predicted, average=average, zero_division=0)
            assert metrics[f"test_{average}_{name}"] == pytest.approx(expected)
    recalls = sklearn.metrics.recall_score(labels, predicted, labels=np.unique(labels), average=None)
    assert metrics["test_worst_class_recall"] == pytest.approx(recalls.min())
    brier = sklearn.metrics.brier_score_loss(labels, probabilities, labels=every_label, scale_by_half=False)
    assert metrics["test_brier"] == pytest.approx(brier)
    kinds = [(labels == label, probabilities[:, label]) for label in every_label if 0 < (labels == label).mean() < 1]
    for name, score in (
        ("roc_auc", sklearn.metrics.roc_auc_score),
        ("average_precision", sklearn.metrics.average_precision_score),
    ):
        assert (f"test_{name}" in metrics) == bool(kinds)
        if kinds:
            assert metrics[f"test_{name}"] == pytest.approx(np.mean([score(*kind) for kind in kinds]))
    if len(every_label) > 5:
        top = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=every_label)
        assert metrics["test_top5_accuracy"] == pytest.approx(top)


@settings(deadline=None, max_examples=15)
@given(tables)
def test_report_and_confusion_agree_with_the_metrics(table):
    metrics, report, counts = metrics_of(table), classification_report(table), confusion_counts(table)

    assert np.trace(counts) / len(table) == pytest.approx(metrics["test_accuracy"])
    assert report["f1"].iloc[-1] == pytest.approx(metrics["test_accuracy"])
    assert counts.sum(axis=1).tolist() == report["support"].iloc[:-3].tolist()
    for name in ("precision", "recall", "f1"):
        assert report.loc["macro average", name] == pytest.approx(metrics[f"test_macro_{name}"])
        assert report.loc["weighted average", name] == pytest.approx(metrics[f"test_weighted_{name}"])
    for name in ("roc_auc", "average_precision"):
        expected = metrics.get(f"test_{name}", np.nan)
        assert report.loc["macro average", name] == pytest.approx(expected, nan_ok=True)
        assert report[name].iloc[:-3].mean() == pytest.approx(expected, nan_ok=True)
    recall = np.diag(counts) / np.maximum(counts.sum(axis=1), 1)
    precision = np.diag(counts) / np.maximum(counts.sum(axis=0), 1)
    np.testing.assert_allclose(report["recall"].iloc[:-3], recall)
    np.testing.assert_allclose(report["precision"].iloc[:-3], precision)


@settings(deadline=None, max_examples=12)
@given(tables, st.integers(0, 2**32 - 1))
def test_order_of_rows_changes_nothing(table, seed):
    shuffled = table.sample(frac=1, random_state=seed)

    # Equal, not only about: also what is resampled for the intervals.
    np.testing.assert_equal(metrics_of(shuffled), metrics_of(table))
    pd.testing.assert_frame_equal(classification_report(shuffled), classification_report(table))
    assert (confusion_counts(shuffled) == confusion_counts(table)).all()


@settings(deadline=None, max_examples=15)
@given(tables)
def test_every_headline_lies_in_its_interval_and_every_name_is_known(table):
    metrics = metrics_of(table)

    assert metrics.keys() <= HIGHER_IS_BETTER.keys()
    for name in HEADLINES:
        value, low, high = (metrics.get(f"test_{name}{end}", np.nan) for end in ("", "_low", "_high"))
        if len(table) > 1 and not np.isnan(value):
            assert 0 <= low <= value <= high
            assert high <= {"loss": np.inf, "brier": 2}.get(name, 1)
        assert HIGHER_IS_BETTER[f"test_{name}"] == HIGHER_IS_BETTER[f"test_{name}_low"] == (value_is_good(name))


def value_is_good(name):
    return name not in {"loss", "ece", "brier"}


def test_one_row_and_one_class_have_what_can_be_told_of_them():
    one = metrics_of(table_of([1], [[0.2, 0.8]]))
    assert (one["test_accuracy"], one["test_macro_f1"]) == (1, 1)
    assert one["test_ece"] == pytest.approx(0.2)
    assert one["test_brier"] == pytest.approx(0.08)
    assert math.isnan(one["test_loss_low"])
    assert "test_roc_auc" not in one

    report = classification_report(table_of([1, 1], [[0.2, 0.8], [0.6, 0.4]]))
    assert report[["roc_auc", "average_precision"]].isna().all(axis=None)


def test_class_without_rows_leaves_the_ranking_of_the_others_alone():
    table = table_of([0, 0, 2, 2], [[0.9, 0.0, 0.1], [0.4, 0.3, 0.3], [0.2, 0.0, 0.8], [0.5, 0.0, 0.5]])

    assert metrics_of(table)["test_roc_auc"] == pytest.approx((3 / 4 + 4 / 4) / 2)
    assert roc_auc(table).tolist() == pytest.approx([3 / 4, np.nan, 1], nan_ok=True)


def coverage(truth, intervals):
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


def test_interval_of_the_auc_covers_the_truth_about_as_often_as_it_says():
    from scipy.stats import norm

    generator = np.random.default_rng(0)

    def draw(rows=120, distance=1.5):
        labels = np.arange(rows) % 3 == 0
        scores = norm.cdf(generator.normal(size=rows) + distance * labels)
        return table_of(labels.astype(int), np.column_stack([1 - scores, scores]))

    assert 0.92 <= coverage(norm.cdf(1.5 / 2**0.5), [macro_auc_interval(draw()) for _ in range(150)]) <= 0.98


def test_interval_of_the_auc_is_about_that_of_a_bootstrap():
    table = random_table(300, 3, 0)
    draws = np.random.default_rng(0).integers(0, 300, (200, 300))
    resampled = [roc_auc(table.iloc[rows]).mean() for rows in draws]

    interval = macro_auc_interval(table)
    expected = np.quantile(resampled, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.2 * (expected[1] - expected[0]))


def test_perfect_and_reversed_rankings_are_not_certain():
    right = np.repeat(np.eye(2), 20, axis=0) * 0.8 + 0.1
    labels = np.repeat([0, 1], 20)

    perfect, reversed_ = macro_auc_interval(table_of(labels, right)), macro_auc_interval(table_of(1 - labels, right))
    # Twenty pairs of a row of each class, all in order.
    assert (perfect.low, perfect.high) == pytest.approx((0.025 ** (1 / 20), 1))
    assert (reversed_.low, reversed_.high) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))


def test_interval_of_the_macro_f1_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    shares = np.array([[0.4, 0.05, 0.05], [0.02, 0.2, 0.03], [0.05, 0.05, 0.15]])
    truth = np.mean(2 * np.diag(shares) / (shares.sum(axis=0) + shares.sum(axis=1)))

    counts = generator.multinomial(300, shares.ravel(), 200).reshape(-1, 3, 3)
    assert 0.91 <= coverage(truth, [macro_f1_interval(matrix) for matrix in counts]) <= 0.98


def test_interval_of_a_perfect_macro_f1_is_that_of_the_accuracy():
    assert macro_f1_interval(np.diag([20, 30])) == exact_interval(50, 50)
    assert macro_f1_interval(np.array([[0, 3], [4, 0]])) == exact_interval(0, 7)


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


def test_probability_that_is_not_a_number_shows_in_all_that_is_computed_from_it():
    metrics = metrics_of(table_of([0, 1, 1], [[0.9, 0.1], [np.nan, np.nan], [0.3, 0.7]]))

    for name in ("loss", "roc_auc", "average_precision", "ece", "brier"):
        assert math.isnan(metrics[f"test_{name}"])
        assert math.isnan(metrics.get(f"test_{name}_high", np.nan))


def test_empty_table_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="no rows"):
        metrics_of(HAND.iloc[:0])


def test_report_text_is_aligned_and_whole():
    lines = report_text(classification_report(HAND)).splitlines()

    assert lines[0].split() == ["class", "precision", "recall", "f1", "roc_auc", "average_precision", "support"]
    assert lines[1].split()[:4] == ["ant", "0.6667", "0.6667", "0.6667"]
    assert lines[1].split()[-1] == "3"
    assert max(len(line) for line in lines) <= 80
    assert lines[-1].split() == ["accuracy", "0.5000", "6"]
    assert len({len(line) for line in lines if line}) == 1


def test_matrix_text_is_aligned_and_whole():
    lines = matrix_text(confusion_counts(HAND), ["ant", "bee", "a very long name"]).splitlines()

    assert lines[0].split()[-3:] == ["0", "1", "2"]
    assert lines[1].split() == ["0", "ant", "2", "1", "."]
    assert lines[3].split()[-3:] == ["1", ".", "."]
    assert len({len(line) for line in lines}) == 1
