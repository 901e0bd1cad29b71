"""Models side by side: which may be compared, how they rank, what is told of each, and the files."""

import csv
import io
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_config.errors import ConfigurationError
from tasks.compare.answers import Answers, read_answers
from tasks.compare.columns import ALL, ESSENTIAL
from tasks.compare.files import write_comparison
from tasks.compare.markdown import as_markdown
from tasks.compare.page import make_scale, render_page
from tasks.compare.rows import make_row
from tasks.compare.settings_in_words import describe_augmentation, describe_optimizer
from tasks.compare.table import compare, refuse_unlike
from tasks.tracking import LoggedRun

ROWS = 200
PARAMS = {
    "family": "cnn_plain",
    "network.batch_normalization": "True",
    "network.dropout": "0.15, 0.25",
    "network.loss": "categorical_crossentropy",
    "train.augmentation.rotation": "15.0",
    "train.augmentation.width_shift": "0.0",
    "train.augmentation.horizontal_flip": "True",
    "train.optimizer": "adam",
    "train.learning_rate": "0.001",
    "train.schedule": "constant",
}
NUMBERS = {"layers": 8, "dense_layers": 2, "parameters": 2_196_810, "trainable_parameters": 2_195_000, "epochs": 9}
HOSTILE = "<script>alert(1)</script>|[x](http://a)\nnext"


def answers_of(hits: np.ndarray, classes: int = 2, labels: np.ndarray | None = None) -> Answers:
    """Answers that are right in these rows, and the next class in the others."""
    labels = np.zeros(len(hits), dtype=np.int64) if labels is None else labels
    return Answers(
        image_ids=np.array([f"{row:064}" for row in range(len(hits))], dtype=object),
        labels=labels,
        class_names=tuple(f"class {label}" for label in range(classes)),
        predicted=np.where(hits, labels, (labels + 1) % classes),
        losses=np.where(hits, 0.1, 2.0),
    )


def hits_of(wrong: int) -> np.ndarray:
    """All test rows right but the first so many."""
    return np.arange(ROWS) >= wrong


def answers_wrong(wrong: int) -> Answers:
    return answers_of(hits_of(wrong))


def run_of(name: str, wrong: int = 0, digest: str = "d" * 64, **changes) -> LoggedRun:
    accuracy = 1 - wrong / ROWS
    measured = {"test_accuracy": accuracy, "test_accuracy_low": accuracy - 0.03, "test_accuracy_high": accuracy}
    run = LoggedRun(
        run_id=name.encode().hex().ljust(32, "0")[:32],
        name=name,
        experiment="cifar10",
        test_digest=digest,
        is_network=True,
        params=PARAMS,
        metrics={**measured, **NUMBERS, "test_loss": 0.5, "test_macro_f1": 0.8, "test_macro_recall": 0.81},
        diagnosis="good",
        comment="Good: accuracy is 0.9.",
    )
    return replace(run, **changes)


def compare_with(**wrong: int):
    """One group of models that have so many rows wrong."""
    runs = [run_of(name, count) for name, count in wrong.items()]
    answers = {run.run_id: answers_wrong(count) for run, count in zip(runs, wrong.values(), strict=True)}
    (group,) = compare(runs, answers)
    return group


def cells_of(run: LoggedRun) -> dict[str, str]:
    row = make_row(run, 1, None)
    return {column.heading: column.cell(row) for column in ALL}


def test_the_best_on_the_test_rows_comes_first():
    assert [(row.rank, row.model) for row in compare_with(b=30, a=10, c=60).rows] == [(1, "a"), (2, "b"), (3, "c")]


def test_only_what_the_paired_test_tells_from_the_best_is_not_tied_with_it():
    group = compare_with(best=10, a_little_worse=14, much_worse=40)
    assert [row.tied_with_best for row in group.rows] == [True, True, False]
    assert "| 2 ≈ | a_little_worse |" in as_markdown([group])
    assert [ESSENTIAL[0].cell(row) for row in group.rows] == ["1", "2 ≈", "3"]


def test_ties_rest_on_the_same_rows_and_not_on_the_accuracies_alone():
    """Ten rows fewer right: where they are all that differs, that tells; where 90 rows differ, it does not."""
    runs = [run_of("a", 40), run_of("b", 50)]
    few_differ = {runs[0].run_id: answers_wrong(40), runs[1].run_id: answers_wrong(50)}
    many_differ = {runs[0].run_id: answers_wrong(40), runs[1].run_id: answers_of(hits_of(50)[::-1])}
    assert [compare(runs, said)[0].rows[1].tied_with_best for said in (few_differ, many_differ)] == [False, True]


@settings(max_examples=20)
@given(st.lists(st.integers(0, ROWS), min_size=1, max_size=5))
def test_whatever_the_accuracies_ranks_follow_them_and_equals_of_the_best_are_tied(wrong):
    rows = compare_with(**{f"m{number}": count for number, count in enumerate(wrong)}).rows
    accuracies = [row.test_accuracy for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [row.rank for row in rows] == list(range(1, len(wrong) + 1))
    assert all(row.tied_with_best for row in rows if row.test_accuracy == accuracies[0])


def test_without_predictions_a_model_is_ranked_and_its_tie_is_not_told():
    runs = [run_of("a", 1), run_of("b", 2)]
    (group,) = compare(runs, {runs[0].run_id: answers_wrong(1)})
    assert [row.tied_with_best for row in group.rows] == [True, None]
    assert group.num_images == ROWS


def test_answers_are_in_the_order_of_the_image_ids(tmp_path):
    from tasks import predictions

    table = predictions.make_table(["c", "a", "b"], [0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), "xy")
    predictions.write(table, tmp_path / "predictions.parquet")
    answers = read_answers(tmp_path / "predictions.parquet")
    assert answers.image_ids.tolist() == ["a", "b", "c"]
    assert answers.hits.tolist() == [True, False, True]
    assert answers.losses == pytest.approx(-np.log([0.8, 0.3, 0.9]))
    assert (answers.class_names, answers.ious) == (("x", "y"), None)


def test_other_test_rows_are_refused_with_a_sentence_that_says_which_run_has_which():
    runs = [run_of("cnn"), run_of("svm"), run_of("stranger", digest="e" * 64)]
    with pytest.raises(ConfigurationError) as refused:
        refuse_unlike(runs)
    named = f"cnn (run {runs[0].run_id[:8]}), svm (run {runs[1].run_id[:8]}) on test rows {'d' * 12}; stranger"
    assert named in str(refused.value)
    assert f"on test rows {'e' * 12}; name runs of one data set, or add --force" in str(refused.value)


def test_runs_of_the_same_test_rows_are_not_refused():
    refuse_unlike([run_of("cnn"), run_of("svm")])


def test_other_test_rows_stand_in_a_group_of_their_own_and_are_not_ranked_across():
    groups = compare([run_of("a", 9), run_of("far_better", 0, digest="e" * 64), run_of("b", 5)], {})
    assert [[(row.rank, row.model) for row in group.rows] for group in groups] == [
        [(1, "b"), (2, "a")],
        [(1, "far_better")],
    ]
    assert as_markdown(groups).count("| # | model | test acc |") == 2
    assert render_page(groups, {}).count("<h3>Networks</h3>") == 2


def test_a_network_s_row_tells_all_that_was_asked_for():
    assert {
        "layers": "8",
        "dense layers": "2",
        "parameters": "2,196,810",
        "epochs": "9",
        "augmentation": "rotation 15, horizontal flip",
        "batch norm.": "yes",
        "dropout": "0.15, 0.25",
        "optimizer": "adam 0.001",
        "loss function": "categorical_crossentropy",
        "test acc": "0.9500",
        "95 % interval": "0.9200..0.9500",
        "loss": "0.5000",
        "F1": "0.8000",
        "recall": "0.8100",
        "comment": "Good: accuracy is 0.9.",
    }.items() <= cells_of(run_of("cnn", 10)).items()


def test_what_a_run_does_not_tell_is_a_dash():
    cells = cells_of(run_of("old", metrics={"test_accuracy": 0.5}, params={}, diagnosis=None, comment=None))
    told = {"#": "1", "model": "old", "test acc": "0.5000", "run": b"old".hex() + "00"}
    assert cells == {**dict.fromkeys(cells, "–"), **told}


def test_a_model_without_a_network_has_no_optimizer_though_its_run_logs_the_params_of_all():
    cells = cells_of(run_of("svm", is_network=False))
    assert [cells[name] for name in ("optimizer", "augmentation", "dropout", "epochs")] == ["–"] * 4
    assert cells["parameters"] == "2,196,810"


def test_a_figure_that_is_no_number_is_told_as_unknown():
    run = run_of("diverged")
    row = make_row(replace(run, metrics={**run.metrics, "test_loss": float("nan")}), 1, None)
    assert row.test_loss is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "none"),
        ({"train.augmentation": "None"}, "none"),
        ({"train.augmentation.rotation": "0.0", "train.augmentation.fill_mode": "nearest"}, "none"),
        ({"train.augmentation.width_shift": "0.1", "train.augmentation.vertical_flip": "False"}, "width shift 0.1"),
    ],
)
def test_augmentation_names_what_is_not_zero(params, words):
    assert describe_augmentation(params) == words


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, None),
        ({"train.optimizer": "sgd", "train.learning_rate": "1e-05", "train.schedule": "constant"}, "sgd 1e-05"),
        (
            {"train.optimizer": "adam", "train.learning_rate": "0.01", "train.schedule": "one_cycle"},
            "adam 0.01, one cycle",
        ),
        (
            {
                "stage2.optimizer": "rmsprop",
                "stage2.learning_rate": "1e-05",
                "stage1.optimizer": "adam",
                "stage1.learning_rate": "0.001",
                "train.schedule": "cosine",
            },
            "1: adam 0.001; 2: rmsprop 1e-05, cosine",
        ),
    ],
)
def test_the_optimizer_is_told_with_its_rate_and_schedule_stage_by_stage(params, words):
    assert describe_optimizer(params) == words


def test_names_and_comments_of_any_kind_stay_text_in_html_and_markdown():
    (group,) = compare([run_of(HOSTILE, comment=HOSTILE, experiment=HOSTILE, diagnosis=HOSTILE)], {})
    page, text = render_page([group], {}), as_markdown([group])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    row = text.splitlines()[6]
    assert "<script" not in row
    assert r"\|\[x\](http://a) next" in row
    assert row.replace(r"\|", "").count("|") == len(ALL) + 1


def test_the_csv_has_every_row_with_unrounded_figures(tmp_path):
    groups = compare([run_of("a", 1, comment='says "so", twice'), run_of("b", 3, digest="e" * 64)], {})
    write_comparison(groups, tmp_path)
    names = {"comparison.md", "comparison.csv", "comparison.html", "pairs.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    rows = list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))
    assert [row["comment"] for row in rows] == ['says "so", twice', "Good: accuracy is 0.9."]
    assert (rows[0]["test_accuracy"], rows[0]["parameters"], rows[0]["fit_seconds"]) == ("0.995", "2196810", "")
    assert rows[1]["test_digest"] == "e" * 64
    assert set(rows[0]) == set(asdict(groups[0].rows[0]))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_scale_holds_every_interval_and_has_few_ticks_in_order(intervals):
    row = make_row(run_of("a"), 1, None)
    rows = [
        replace(row, test_accuracy=sum(ends) / 2, test_accuracy_low=min(ends), test_accuracy_high=max(ends))
        for ends in intervals
    ]
    scale = make_scale(rows)
    assert all(
        -0.1 <= scale.percent(end) <= 100.1 for row in rows for end in (row.test_accuracy_low, row.test_accuracy_high)
    )
    assert 2 <= len(scale.ticks) <= 6
    assert list(scale.ticks) == sorted(set(scale.ticks))
