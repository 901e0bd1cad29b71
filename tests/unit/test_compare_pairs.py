"""Every two models of a comparison: what chance explains of their difference, and what it does not."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.compare import bootstrap
from tasks.compare.answers import Answers, read_answers
from tasks.compare.bootstrap import resampled_metrics
from tasks.compare.files import write_comparison
from tasks.compare.markdown import as_markdown
from tasks.compare.page import render_page
from tasks.compare.pair_table import list_pairs, make_triangle, summarize
from tasks.compare.pairs import compare_pairs
from tasks.compare.table import compare
from tasks.statistics import correct_holm, mcnemar
from tasks.tracking import LoggedRun

DROPOUTS = ("0.1", "0.2", "0.25", "0.3", "0.4", "0.5", "0.6")
CLASSES = 15


def simulate(generator, accuracies, rows=750):
    """`(models, rows)` whether each is right: what is hard for one is often hard for the others."""
    from scipy import stats

    shared = generator.standard_normal(rows)
    own = generator.standard_normal((len(accuracies), rows))
    return np.sqrt(0.5) * (shared + own) < stats.norm.ppf(accuracies)[:, None]


def answers_of(hits, labels=None, classes=CLASSES, **changes):
    labels = np.arange(len(hits)) % classes if labels is None else labels
    said = Answers(
        image_ids=np.array([f"{row:064}" for row in range(len(hits))], dtype=object),
        labels=labels,
        class_names=tuple(f"class {label}" for label in range(classes)),
        predicted=np.where(hits, labels, (labels + 1) % classes),
        losses=np.where(hits, 0.5, 2.0),
    )
    return replace(said, **changes)


def run_of(name, accuracy):
    run_id = name.encode().hex().ljust(32, "0")[:32]
    return LoggedRun(run_id, name, "scenes15", "d" * 64, True, {}, {"test_accuracy": accuracy}, None, None)


def compare_hits(**hits):
    runs = [run_of(name, right.mean()) for name, right in hits.items()]
    (group,) = compare(runs, {run.run_id: answers_of(hits[run.name]) for run in runs})
    return group


# Seven dropout values on 750 test images


def test_seven_dropout_values_of_one_true_accuracy_are_tied():
    hits = simulate(np.random.default_rng(1), np.full(7, 0.41))
    group = compare_hits(**dict(zip(DROPOUTS, hits, strict=True)))
    accuracies = [row.test_accuracy for row in group.rows]
    assert accuracies[0] - accuracies[-1] > 0.01
    assert all(row.tied_with_best for row in group.rows)
    assert summarize(group) == "none of 21 pairs differ by more than chance (exact McNemar, Holm)"


def test_one_that_is_really_better_is_not_tied_with_the_others():
    hits = simulate(np.random.default_rng(1), np.array([0.41] * 6 + [0.55]))
    group = compare_hits(**dict(zip(DROPOUTS, hits, strict=True)))
    assert group.rows[0].model == "0.6"
    assert [row.tied_with_best for row in group.rows] == [True] + [False] * 6
    assert summarize(group).startswith("6 of 21 pairs differ")


def test_equal_models_are_rarely_called_unequal_however_many_there_are():
    """At 5 %, one or two of 30 comparisons may name a difference; without the correction twelve would."""
    generator = np.random.default_rng(0)
    found = {"corrected": 0, "plain": 0}
    for _ in range(30):
        hits = simulate(generator, np.full(7, 0.41))
        best = hits[hits.sum(axis=1).argmax()]
        plain = [mcnemar(best, other).p_value for other in hits]
        every = [mcnemar(hits[i], hits[j]).p_value for i in range(7) for j in range(i)]
        found["plain"] += min(plain) < 0.05
        found["corrected"] += min(correct_holm(every)) < 0.05
    assert found["corrected"] <= 3 < 7 <= found["plain"]


# Holm


def test_holm_corrects_as_by_hand():
    assert correct_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_holm([0.6, 0.7]) == [1, 1]
    assert correct_holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_keeps_the_order_and_lies_between_no_correction_and_that_of_bonferroni(p_values):
    corrected = correct_holm(p_values)
    bonferroni = np.minimum(np.array(p_values) * len(p_values), 1)
    assert all(np.array(p_values) <= corrected)
    assert all(corrected <= bonferroni + 1e-12)
    order = np.argsort(p_values)
    assert all(np.diff(np.array(corrected)[order]) >= 0)


# The bootstrap


@pytest.fixture(scope="module")
def two_models():
    """Models of four classes on 90 rows; the last class is neither true nor predicted in some resamples."""
    generator = np.random.default_rng(3)
    labels = np.minimum(generator.integers(0, 12, 90) // 3, 3)
    labels[labels == 3] = np.where(np.arange((labels == 3).sum()) < 2, 3, 0)
    hits = generator.random((2, 90)) < np.array([[0.8], [0.6]])
    said = np.where(hits, labels, (labels + 1) % 3)
    losses, ious = generator.exponential(size=(2, 90)), generator.random((2, 90))
    return [
        answers_of(hits[model], labels, 4, predicted=said[model], losses=losses[model], ious=ious[model])
        for model in range(2)
    ]


def test_metrics_of_all_rows_and_of_each_resample_are_those_of_scikit_learn(two_models):
    from sklearn.metrics import f1_score

    resampled = resampled_metrics(two_models)
    drawn = np.random.default_rng(0).integers(90, size=(2_000, 90))
    without = next(number for number, rows in enumerate(drawn) if 3 not in two_models[0].labels[rows])
    for number, rows in ((0, np.arange(90)), (1 + without, drawn[without]), (2_000, drawn[1_999])):
        for model, said in enumerate(two_models):
            f1 = f1_score(said.labels[rows], said.predicted[rows], average="macro")
            assert resampled["macro_f1"][number, model] == pytest.approx(f1)
            assert resampled["log_loss"][number, model] == pytest.approx(said.losses[rows].mean())
            assert resampled["mean_iou"][number, model] == pytest.approx(said.ious[rows].mean())


def test_the_resamples_do_not_depend_on_how_many_are_held_at_once(two_models, monkeypatch):
    at_once = resampled_metrics(two_models)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 90 * 700)
    for name, values in resampled_metrics(two_models).items():
        np.testing.assert_allclose(values, at_once[name])


def test_the_interval_of_a_difference_holds_it_and_is_that_of_a_paired_sample(two_models):
    (pair,) = compare_pairs(["a", "b"], dict(zip("ab", two_models, strict=True)))
    losses = two_models[0].losses - two_models[1].losses
    half = 1.96 * losses.std() / 90**0.5
    assert pair.log_loss.value == pytest.approx(losses.mean())
    assert (pair.log_loss.low, pair.log_loss.high) == pytest.approx(
        (losses.mean() - half, losses.mean() + half), abs=0.15 * half
    )
    assert pair.macro_f1.low < pair.macro_f1.value < pair.macro_f1.high
    (itself,) = compare_pairs(["a", "b"], dict.fromkeys("ab", two_models[0]))
    assert (itself.macro_f1.low, itself.macro_f1.high, itself.p_holm, itself.differs) == (0, 0, 1, False)


def test_the_order_of_the_rows_in_a_predictions_table_changes_nothing(tmp_path):
    from tasks import predictions

    generator = np.random.default_rng(5)
    tables = [
        predictions.make_table(
            [f"{row:064}" for row in range(60)], np.arange(60) % 3, generator.dirichlet(np.ones(3), 60), "xyz"
        )
        for _ in range(2)
    ]
    pairs = []
    for shuffled in (False, True):
        for name, table in zip("ab", tables, strict=True):
            predictions.write(table.sample(frac=1, random_state=ord(name)) if shuffled else table, tmp_path / name)
        pairs += compare_pairs(["a", "b"], {name: read_answers(tmp_path / name) for name in "ab"})
    assert pairs[0] == pairs[1]


# What is told


def group_with(*wrong):
    """Models of 200 rows with so many wrong, the first rows of each."""
    return compare_hits(**{f"m{number:02}": np.arange(200) >= count for number, count in enumerate(wrong)})


def test_few_pairs_are_all_listed_and_of_many_those_with_the_best_with_all_in_a_triangle():
    few, many, too_many = group_with(10, 12, 60), group_with(*range(5)), group_with(*range(13))
    assert [(pair.first.rank, pair.second.rank) for pair in list_pairs(few)] == [(1, 2), (1, 3), (2, 3)]
    assert [pair.verdict for pair in list_pairs(few)] == ["≈ not told apart", *["first is better"] * 2]
    assert list_pairs(few)[1].only_right == "50 : 0"
    assert [(pair.first.rank, pair.second.rank) for pair in list_pairs(many)] == [(1, n) for n in range(2, 6)]
    assert [len(line.cells) for line in make_triangle(many)] == [1, 2, 3, 4]
    assert [cell.differs for cell in make_triangle(few)[1].cells] == [True, True]
    assert make_triangle(too_many) == make_triangle(group_with(1, 2)) == ()
    assert "Shown are the pairs with the best; all 78 are in" in render_page([too_many], {})


def test_markdown_tells_the_pairs_with_the_way_they_were_tested():
    text = as_markdown([group_with(10, 12, 60)])
    assert "2 of 3 pairs differ by more than chance (exact McNemar, Holm)" in text
    assert "after Holm (1979)" in text
    assert "| m00 | m02 | 50 : 0 | &lt;0.001 | &lt;0.001 | first is better | +" in text
    assert "| 3 | m02 | **&lt;0.001** | **&lt;0.001** |" in text


def test_a_single_model_has_no_pairs():
    group = group_with(10)
    assert (group.pairs, summarize(group)) == ((), None)
    assert "Pairs" not in as_markdown([group])
    assert "Pairs of models" not in render_page([group], {})


def test_the_csv_has_every_pair_with_unrounded_figures_and_nothing_where_nothing_is_known(tmp_path):
    runs = [run_of("a", 0.95), run_of("b", 0.9), run_of("lost", 0.8)]
    answers = {run.run_id: answers_of(np.arange(200) >= wrong) for run, wrong in zip(runs, (10, 12), strict=False)}
    (group,) = compare(runs, answers)
    write_comparison([group], tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "pairs.csv").read_text())))
    assert [(row["first"], row["second"], row["differs"]) for row in rows] == [
        ("a", "b", "False"),
        ("a", "lost", ""),
        ("b", "lost", ""),
    ]
    assert float(rows[0]["macro_f1_difference_low"]) == group.pairs[0].macro_f1.low
    assert {rows[1][name] for name in ("p_holm", "only_first", "log_loss_difference")} == {""}
    assert summarize(group) == "none of 1 pair differs by more than chance (exact McNemar, Holm); 2 could not be tested"
    assert "not tested" in render_page([group], {})


def test_models_of_boxes_alone_differ_in_their_mean_iou():
    ious = np.random.default_rng(0).random((2, 300)) / 2
    ious[0] += 0.2
    no_classes = {"class_names": (), "predicted": None, "losses": None}
    said = [answers_of(np.ones(300, bool), **no_classes, ious=of_model) for of_model in ious]
    (pair,) = compare_pairs(["a", "b"], dict(zip("ab", said, strict=True)))
    assert (pair.differs, pair.better, pair.macro_f1.value, pair.log_loss.low) == (None, None, None, None)
    assert 0.15 < pair.mean_iou.low < pair.mean_iou.value < pair.mean_iou.high < 0.25
