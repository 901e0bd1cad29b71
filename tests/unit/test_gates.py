"""Promotion's conditions: thresholds, the comparison with the champion, the choice of the challenger, the verdict."""

from pathlib import Path

import numpy as np
import pytest

from pipeline_config.errors import DarkroomError
from tasks import predictions
from tasks.promote.challenger import choose_challenger
from tasks.promote.champion_again import leave_out
from tasks.promote.data_gates import data_gates
from tasks.promote.decide import decide
from tasks.promote.gates import WORTH_MOVING, Side, champion_gates, threshold_gates
from tasks.promote.servable import largest_difference
from tasks.records import EvaluatedModel, Gate
from tasks.sample import Sample

ROWS = 100


def table(right):
    """Predictions of 100 rows of two classes; `right(row)` says which of them are right."""
    labels = np.arange(ROWS) % 2
    predicted = np.where([right(row) for row in range(ROWS)], labels, 1 - labels)
    probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1)
    return predictions.make_table([f"{row:03}" for row in range(ROWS)], labels, probabilities, ["cat", "dog"])


def side(right, title="the challenger", test_digest="t" * 64, data_digest="d" * 64):
    return Side(title, table(right), test_digest, data_digest)


def champion(right, **digests):
    return side(right, "the champion (version 3)", **digests)


def verdicts(gates):
    return {gate.name: gate.passed for gate in gates}


def detail(gates, name):
    return next(gate.detail for gate in gates if gate.name == name)


# Thresholds


@pytest.mark.parametrize(
    ("metric", "value", "bound", "passed"),
    [
        ("test_accuracy", 0.91, 0.9, True),
        ("test_accuracy", 0.9, 0.9, True),
        ("test_accuracy", 0.89, 0.9, False),
        ("test_loss", 0.2, 0.3, True),
        ("test_loss", 0.3, 0.3, True),
        ("test_loss", 0.4, 0.3, False),
        ("model_bytes", 2_000_000, 1_000_000, False),
        ("predict_ms_per_image", 5.0, 10.0, True),
        ("test_ece", 0.2, 0.1, False),
        ("test_worst_class_recall", 0.4, 0.5, False),
        ("outside_accuracy", 0.5, 0.8, False),
        ("outside_gap", 0.49, 0.1, False),
        ("outside_gap", -0.02, 0.1, True),
        ("test_accuracy", float("nan"), 0.9, False),
        ("test_loss", float("nan"), 0.3, False),
    ],
)
def test_threshold_is_a_lower_bound_or_an_upper_one_where_lower_is_better(metric, value, bound, passed):
    (gate,) = threshold_gates({metric: value}, {metric: bound})
    assert (gate.name, gate.passed) == (f"threshold_{metric}", passed)


def test_threshold_tells_value_and_bound():
    metrics, bounds = {"test_accuracy": 0.87654, "test_loss": 0.5}, {"test_accuracy": 0.9, "test_loss": 0.3}
    assert [gate.detail for gate in threshold_gates(metrics, bounds)] == [
        "test_accuracy is 0.8765; expected at least 0.9",
        "test_loss is 0.5; expected at most 0.3",
    ]


def test_threshold_of_a_metric_that_was_not_measured_fails_and_says_so():
    (gate,) = threshold_gates({"test_accuracy": 0.9}, {"model_bytes": 1e6})
    assert not gate.passed
    assert gate.detail.startswith("model_bytes was not measured for this model")


def test_without_thresholds_there_are_no_gates():
    assert threshold_gates({"test_accuracy": 0.9}, {}) == []


# Against the champion


def test_worse_challenger_is_refused():
    gates = champion_gates(side(lambda row: row >= 30), champion(lambda row: row >= 10))
    assert verdicts(gates) == {"same_test_rows": True, "not_worse_than_champion": False, WORTH_MOVING: False}
    told = detail(gates, "not_worse_than_champion")
    assert told.startswith("worse beyond chance: the challenger has 70 of 100 right, the champion (version 3) 90; ")
    assert "0 and 20 of them alone" in told
    assert decide(gates, has_champion=True)[0] == "refused"


def test_worse_challenger_on_newer_data_is_refused_too():
    gates = champion_gates(side(lambda row: row >= 30, data_digest="n" * 64), champion(lambda row: row >= 10))
    assert not verdicts(gates)["not_worse_than_champion"]
    assert decide(gates, has_champion=True)[0] == "refused"


def test_better_challenger_is_promoted():
    gates = champion_gates(side(lambda row: row >= 10), champion(lambda row: row >= 30))
    assert all(verdicts(gates).values())
    assert "better beyond chance" in detail(gates, WORTH_MOVING)
    assert decide(gates, has_champion=True)[0] == "promoted"


@pytest.mark.parametrize(
    ("data_digest", "decision"), [("d" * 64, "kept"), ("n" * 64, "promoted")], ids=["same data", "newer data"]
)
@pytest.mark.parametrize(
    "right", [lambda row: row >= 10, lambda row: row >= 9, lambda row: row < 90], ids=["equal", "one more", "others"]
)
def test_tie_moves_the_alias_on_newer_data_alone(right, data_digest, decision):
    gates = champion_gates(side(right, data_digest=data_digest), champion(lambda row: row >= 10))
    assert verdicts(gates)["not_worse_than_champion"]
    assert verdicts(gates)[WORTH_MOVING] == (decision == "promoted")
    assert decide(gates, has_champion=True)[0] == decision


def test_models_with_other_test_rows_are_not_compared_and_both_are_named():
    gates = champion_gates(
        side(lambda _: True, test_digest="a" * 64), champion(lambda row: row >= 50, test_digest="b" * 64)
    )
    assert verdicts(gates) == {"same_test_rows": False}
    told = detail(gates, "same_test_rows")
    assert "the challenger was evaluated on test rows aaaaaaaaaaaa" in told
    assert "the champion (version 3) on bbbbbbbbbbbb" in told
    assert "evaluate both on one data set" in told
    assert decide(gates, has_champion=True)[0] == "refused"


def test_champion_whose_test_rows_are_not_known_is_not_compared():
    gates = champion_gates(side(lambda _: True), champion(lambda _: True, test_digest=None))
    assert verdicts(gates) == {"same_test_rows": False}


def test_order_of_the_rows_changes_nothing():
    ours, theirs = side(lambda row: row % 3 > 0), champion(lambda row: row % 4 > 0)
    shuffled = Side(theirs.title, theirs.predictions.sample(frac=1, random_state=0), "t" * 64, "d" * 64)
    assert champion_gates(ours, shuffled) == champion_gates(ours, theirs)


@pytest.mark.parametrize(
    ("wrong", "margin", "passed"),
    [(5, 0.25, True), (5, 0.26, False), (28, 0.01, False), (30, 0.01, False)],
    ids=["by the margin", "by less", "by chance", "not"],
)
def test_margin_is_asked_for_on_newer_data_too(wrong, margin, passed):
    newer = side(lambda row: row >= wrong, data_digest="n" * 64)
    gates = champion_gates(newer, champion(lambda row: row >= 30), margin)
    assert verdicts(gates)[WORTH_MOVING] == passed
    assert f"expected at least {margin:g}" in detail(gates, WORTH_MOVING)
    assert decide(gates, has_champion=True)[0] == ("promoted" if passed else "kept")


# The data


def report(*, failures=(), leaks=False):
    leakage = {"name": "leakage", "passed": not leaks, "sentence": "3.00% are test images."}
    return {"failures": list(failures), "expectations": [{"name": "columns", "passed": False}, leakage]}


@pytest.fixture
def split_manifest(make_manifest):
    """20 images, of which the last five are to test with."""
    table = make_manifest(cat=10, dog=10)
    return table.assign(split=["train"] * 10 + ["validation"] * 5 + ["test"] * 5)


def test_sound_data_pass(split_manifest):
    tested = split_manifest["image_id"][15:]
    assert verdicts(data_gates(report(), split_manifest, tested, False)) == {
        "data_validated": True,
        "no_leak": True,
        "test_rows_apart": True,
    }


def test_data_that_failed_a_check_are_named(split_manifest):
    gates = data_gates(report(failures=["too few cats"]), split_manifest, split_manifest["image_id"][15:], False)
    assert not verdicts(gates)["data_validated"]
    assert detail(gates, "data_validated") == "too few cats"


@pytest.mark.parametrize("dropped", [False, True])
def test_a_leak_is_refused_unless_what_leaks_was_not_trained_on(split_manifest, dropped):
    gates = data_gates(report(leaks=True), split_manifest, split_manifest["image_id"][15:], dropped)
    assert verdicts(gates)["no_leak"] == dropped
    assert detail(gates, "no_leak") == "3.00% are test images."


def test_leaks_that_nobody_looked_for_are_said_to_be_so(split_manifest):
    gates = data_gates({"failures": [], "expectations": []}, split_manifest, split_manifest["image_id"][15:], False)
    assert "not looked for" in detail(gates, "no_leak")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_test_image_that_was_trained_or_chosen_on_is_named(split_manifest, split):
    both = split_manifest.index[split_manifest["split"] == split][0]
    tested = [*split_manifest["image_id"][15:], split_manifest["image_id"][both]]
    gates = data_gates(report(), split_manifest, tested, False)
    assert not verdicts(gates)["test_rows_apart"]
    assert f"1 of 6 test images are training or validation images too: {tested[-1]}" in detail(gates, "test_rows_apart")


def test_predictions_of_other_images_than_the_manifest_s_are_refused(split_manifest):
    gates = data_gates(report(), split_manifest, ["f" * 64], False)
    assert not verdicts(gates)["test_rows_apart"]
    assert "no test images of the manifest" in detail(gates, "test_rows_apart")


# Its answers


class Answers:
    """A classifier that answers what it is given to."""

    def __init__(self, probabilities):
        self.probabilities = np.array(probabilities)

    def predict_proba(self, _):
        return self.probabilities


SAMPLE = Sample(("003", "001"), np.zeros((2, 4, 4, 3), np.uint8))


def test_answers_are_held_against_the_rows_of_the_same_images():
    logged = table(lambda row: row == 1)
    expected = logged.set_index("image_id").loc[["003", "001"]].filter(like="probability").to_numpy()
    assert largest_difference(Answers(expected), SAMPLE, logged) == (0.0, 2)
    assert largest_difference(Answers(expected[::-1]), SAMPLE, logged)[0] == pytest.approx(0.8)
    nearly = expected + np.array([[0, 0.001], [0, 0]])
    assert largest_difference(Answers(nearly), SAMPLE, logged)[0] == pytest.approx(0.001)


def test_an_answer_that_is_no_number_is_never_what_was_logged():
    difference, _ = largest_difference(Answers([[np.nan, 0.1], [0.9, 0.1]]), SAMPLE, table(lambda _: True))
    assert np.isnan(difference)


def test_answers_of_other_classes_are_refused():
    with pytest.raises(DarkroomError, match=r"\(2, 2\).*as they were logged; received.*\(2, 3\)"):
        largest_difference(Answers(np.zeros((2, 3))), SAMPLE, table(lambda _: True))


def test_a_sample_of_other_images_than_were_predicted_is_refused():
    with pytest.raises(DarkroomError, match="1 of them have none"):
        largest_difference(Answers([]), Sample(("003", "other"), SAMPLE.pixels), table(lambda _: True))


# The choice of the challenger


def evaluated(name, accuracy, loss, seconds=10.0, **metrics):
    chosen = {"chosen_val_accuracy": accuracy, "chosen_val_loss": loss, "fit_seconds": seconds, **metrics}
    return EvaluatedModel(name, "family", "run", "model", "uri", Path("none"), "t" * 64, chosen)


@pytest.mark.parametrize(
    ("metric", "models", "chosen"),
    [
        ("val_accuracy", [("a", 0.8, 0.1), ("b", 0.9, 0.5)], "b"),
        ("val_loss", [("a", 0.8, 0.1), ("b", 0.9, 0.5)], "a"),
        ("val_accuracy", [("a", 0.9, 0.3), ("b", 0.9, 0.2)], "b"),
        ("val_accuracy", [("a", 0.9, 0.2, 30), ("b", 0.9, 0.2, 20)], "b"),
        ("val_loss", [("a", 0.9, 0.2, 30), ("b", 0.8, 0.2, 20)], "b"),
        ("val_accuracy", [("a", 0.1, 2.0)], "a"),
        ("val_loss", [("a", 0.1, float("nan")), ("b", 0.9, 0.5)], "b"),
        ("val_loss", [("a", 0.9, 0.5), ("b", 0.1, float("nan"))], "a"),
    ],
    ids=["accuracy", "loss", "tie by loss", "tie by time", "tie of losses by time", "alone", "nan first", "nan last"],
)
def test_challenger_is_the_best_by_the_validation_metric(metric, models, chosen):
    candidates = [evaluated(*model) for model in models]
    assert choose_challenger(candidates, metric).model.name == chosen


def test_test_metrics_choose_nothing():
    candidates = [evaluated("a", 0.9, 0.2, test_accuracy=0.1), evaluated("b", 0.8, 0.3, test_accuracy=1.0)]
    assert choose_challenger(candidates, "val_accuracy").model.name == "a"


def test_order_of_the_models_changes_nothing():
    candidates = [evaluated("a", 0.9, 0.3), evaluated("b", 0.9, 0.2), evaluated("c", 0.7, 0.1)]
    assert choose_challenger(candidates, "val_accuracy") == choose_challenger(candidates[::-1], "val_accuracy")


def with_cost(name, accuracy, ms, parameters=1_000.0, size=9_000.0):
    return evaluated(name, accuracy, 0.2, predict_ms_per_image=ms, parameters=parameters, model_bytes=size)


@pytest.mark.parametrize(
    ("models", "chosen"),
    [
        ([("slow", 0.95, 2.0), ("fast", 0.94, 0.5)], "fast"),
        ([("slow", 0.95, 2.0), ("fast", 0.75, 0.5)], "slow"),
        ([("best", 0.95, 2.0), ("as_fast", 0.94, 1.9)], "best"),
        ([("large", 0.95, 2.0, 9_000.0), ("small", 0.94, 1.9, 1_000.0)], "small"),
        ([("fast", 0.95, 1.0, 9_000.0), ("small", 0.94, 2.0, 1_000.0)], "small"),
        ([("large", 0.95, 2.0, 1_000.0, 9_000.0), ("small", 0.94, 2.0, 1_000.0, 4_000.0)], "small"),
        ([("best", 0.95, 2.0, 1_000.0, 9_010.0), ("other", 0.94, 2.0, 1_000.0, 9_000.0)], "best"),
    ],
    ids=[
        "cheaper",
        "cheaper but worse",
        "as cheap",
        "fewer parameters",
        "smaller though slower",
        "fewer bytes",
        "a few bytes",
    ],
)
def test_of_tied_candidates_the_cheaper_is_proposed_and_the_verdict_says_so(models, chosen):
    candidates = [with_cost(*model) for model in models]
    challenger = choose_challenger(candidates, "val_accuracy", validation_images=100)
    assert challenger.model.name == chosen
    best = models[0][0]
    if models[1][1] == 0.75:
        assert challenger.why == ""
    else:
        assert challenger.why.startswith(f"tied by val_accuracy: {best} (0.95), {models[1][0]} (0.94), within 0.9")
        assert f"{chosen} is proposed, as it is {'the best' if chosen == best else 'the cheaper'}" in challenger.why


def test_where_the_noise_is_not_known_equal_values_alone_are_tied():
    models = [with_cost("slow", 0.95, 2.0), with_cost("fast", 0.94, 0.5)]
    assert choose_challenger(models, "val_accuracy").model.name == "slow"
    models = [with_cost("slow", 0.95, 2.0), with_cost("fast", 0.95, 0.5)]
    challenger = choose_challenger(models, "val_accuracy")
    assert challenger.model.name == "fast"
    assert challenger.why.endswith("the cheaper: 0.5 ms an image instead of 2")


# The champion on other rows


def test_rows_that_the_champion_learned_from_are_left_out_and_counted():
    whole = table(lambda _: True)
    kept, told = leave_out(whole, {f"{row:03}" for row in range(90)} | {"elsewhere"})
    assert list(kept["image_id"]) == [f"{row:03}" for row in range(90, 100)]
    assert told == "90 of 100 are left out, as it learned from them, and would be flattered"


@pytest.mark.parametrize(("learned", "told"), [(None, "is not known"), ({"elsewhere"}, "learned from none of them")])
def test_where_it_learned_from_none_or_nobody_knows_all_rows_stay(learned, told):
    kept, sentence = leave_out(table(lambda _: True), learned)
    assert len(kept) == ROWS
    assert told in sentence


def test_too_few_rows_are_left_to_find_a_worse_model_worse():
    with pytest.raises(DarkroomError, match=r"95 of these 100 test rows; expected at least 6 others .* received 5"):
        leave_out(table(lambda _: True), {f"{row:03}" for row in range(95)})


# The verdict

PASSED, FAILED = Gate("threshold_test_accuracy", True, "fine"), Gate("threshold_test_accuracy", False, "too low")
MOVING, STAYING = Gate(WORTH_MOVING, True, "better"), Gate(WORTH_MOVING, False, "a tie")


@pytest.mark.parametrize(
    ("gates", "has_champion", "expected"),
    [
        ([], False, ("promoted", "every gate passed; there was no champion yet")),
        ([PASSED], False, ("promoted", "every gate passed; there was no champion yet")),
        ([PASSED, MOVING], True, ("promoted", "every gate passed")),
        ([PASSED, STAYING], True, ("kept", "a tie")),
        ([FAILED], False, ("refused", "too low")),
        ([FAILED, MOVING], True, ("refused", "too low")),
        ([FAILED, STAYING], True, ("refused", "too low")),
        ([FAILED, Gate("other", False, "so is this")], True, ("refused", "too low; so is this")),
    ],
)
def test_decision_follows_from_the_gates(gates, has_champion, expected):
    assert decide(gates, has_champion) == expected
