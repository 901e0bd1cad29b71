"""The best trial of a sweep, those tied with it, and which of them is recommended."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_config.sweep import Sweep
from tasks.records import Trial
from tasks.sweep.settings_in_words import short_names, tell_setting, tell_values
from tasks.sweep.ties import find_best, find_tied, recommend
from tasks.sweep.verdict import find_saving, tell_states, tell_verdict


def trial_of(number, value, half=0.02, state="complete", **more):
    params = more.pop("params", {"params.dropout": round(0.2 + number / 10, 1)})
    ends = (value - half, value + half) if state == "complete" and half is not None else (None, None)
    metrics = {"parameters": 1000.0, "fit_seconds": 60.0, "chosen_val_loss": 0.5, **more.pop("metrics", {})}
    return Trial(number, state, params, f"{number:032}", value, *ends, more.pop("epochs", 10), metrics, **more)


FAILED = Trial(9, "failed", {"params.dropout": 0.9}, "f" * 32, reason="the loss became NaN")


def test_the_best_is_the_greatest_accuracy_or_the_least_loss_of_the_complete_trials():
    trials = [trial_of(0, 0.7), trial_of(1, 0.8), trial_of(2, 0.95, state="pruned"), FAILED]
    assert find_best(trials, "val_accuracy").number == 1
    assert find_best(trials, "val_loss").number == 0
    assert find_best([FAILED, trial_of(2, 0.95, state="pruned")], "val_accuracy") is None
    assert find_tied([FAILED], "val_accuracy") == []
    assert recommend([FAILED], "val_accuracy") is None


def test_a_value_that_is_infinite_wins_nothing():
    trials = [trial_of(0, 0.7), trial_of(1, float("inf"), None), trial_of(2, float("nan"), None)]
    assert find_best(trials, "val_accuracy").number == 0


def test_equals_are_told_apart_by_their_loss():
    without = replace(trial_of(0, 0.8), metrics={})
    trials = [without, trial_of(1, 0.8, metrics={"chosen_val_loss": 0.4}), trial_of(2, 0.8)]
    assert find_best(trials, "val_accuracy").number == 1


@given(st.permutations(range(4)), st.randoms())
def test_a_continued_sweep_with_other_numbers_and_times_chooses_the_same_settings(numbers, shuffled: random.Random):
    settings = [{"params.filters": [size, size], "params.norm": norm} for size in (32, 64) for norm in (None, "batch")]
    trials = [
        trial_of(number, 0.8, params=params, metrics={"fit_seconds": shuffled.uniform(50, 52)})
        for number, params in zip(numbers, settings, strict=True)
    ]
    shuffled.shuffle(trials)
    assert find_best(trials, "val_accuracy").params == settings[1]  # "batch" comes before null in JSON
    assert recommend(trials, "val_accuracy").trial.params == settings[1]


values = st.floats(0.1, 0.9).map(lambda value: round(value, 2))


@given(
    st.lists(st.tuples(values, st.floats(0, 0.2)), min_size=1, max_size=9),
    st.sampled_from(["val_accuracy", "val_loss"]),
)
def test_the_tied_are_all_those_within_the_best_ones_interval_and_none_else(drawn, metric):
    trials = [trial_of(number, value, half) for number, (value, half) in enumerate(drawn)]
    best, tied = find_best(trials, metric), find_tied(trials, metric)
    assert tied[0] is best
    for trial in trials:
        assert (trial in tied) == (best.low <= trial.value <= best.high or trial.value == best.value)
    assert recommend(trials, metric).trial in tied


def test_without_an_interval_only_the_same_value_is_tied():
    trials = [trial_of(0, 0.8, None), trial_of(1, 0.8, None), trial_of(2, 0.79)]
    assert len(find_tied(trials, "val_accuracy")) == 2
    unknown = replace(trials[0], low=float("nan"), high=float("nan"))
    assert [trial.number for trial in find_tied([unknown, trials[2]], "val_accuracy")] == [0]
    assert "how much of that is chance is not known" in recommend([unknown, trials[2]], "val_accuracy").sentence
    assert ", nan" not in recommend([unknown, trials[2]], "val_accuracy").sentence


@pytest.mark.parametrize(
    ("of_best", "of_other", "chosen"),
    [
        ({"parameters": 2000.0}, {"parameters": 1000.0, "fit_seconds": 90.0}, 1),  # fewest parameters, however slow
        ({"parameters": 1005.0}, {"parameters": 1000.0}, 0),  # as many within 1 %
        ({"fit_seconds": 60.0}, {"fit_seconds": 53.0}, 1),  # a tenth shorter
        ({"fit_seconds": 60.0}, {"fit_seconds": 55.0}, 0),
        ({"fit_seconds": 60.0}, {"fit_seconds": 70.0}, 0),
        ({"parameters": 1000.0}, {"parameters": 2000.0, "fit_seconds": 1.0}, 0),
    ],
)
def test_the_cheapest_of_the_tied_is_recommended(of_best, of_other, chosen):
    trials = [trial_of(0, 0.80, metrics=of_best), trial_of(1, 0.79, metrics=of_other)]
    found = recommend(trials, "val_accuracy")
    assert (found.trial.number, found.best.number) == (chosen, 0)
    assert f"Recommended: trial {chosen}, dropout {0.2 + chosen / 10:g};" in found.sentence


def test_what_costs_nothing_known_does_not_hide_the_best():
    trials = [replace(trial_of(number, 0.8 - number / 100), metrics={}) for number in range(2)]
    assert recommend(trials, "val_accuracy").trial.number == 0


def test_the_cheaper_but_clearly_worse_trial_is_not_recommended():
    trials = [trial_of(0, 0.8, metrics={"parameters": 9e6}), trial_of(1, 0.7, metrics={"parameters": 10.0})]
    found = recommend(trials, "val_accuracy", 750)
    assert found.trial.number == 0
    assert found.sentence == (
        "Trial 0 is the best (val_accuracy 0.800, 0.780 to 0.820 on 750 validation images); no other of 2 complete "
        "trials is within that interval. Recommended: trial 0, dropout 0.2."
    )


def test_tied_settings_are_said_not_to_be_told_apart():
    trials = [trial_of(number, 0.443 + number / 1000) for number in range(4)] + [FAILED]
    assert recommend(trials, "val_accuracy", 1234).sentence == (
        "4 of 5 trials, the best among them, are tied (val_accuracy 0.446, 0.426 to 0.466 on 1,234 validation images): "
        "the sweep cannot tell dropout 0.2, 0.3, 0.4 and 0.5 apart. Recommended: trial 3, dropout 0.5; it is the best, "
        "and none of those tied with it is clearly cheaper."
    )


def test_what_all_tied_trials_share_and_others_lack_is_said_too():
    trials = [
        trial_of(number, 0.8 if rate == 0.001 else 0.6, params={"train.learning_rate": rate, "params.filters": filters})
        for number, (rate, filters) in enumerate((rate, [size] * 2) for rate in (0.001, 1e-5) for size in (32, 64))
    ]
    sentence = recommend(trials, "val_accuracy").sentence
    assert "cannot tell filters [32, 32] and [64, 64] apart. All of them have learning_rate 0.001." in sentence


def test_names_are_as_short_as_they_can_be_told_apart():
    assert list(short_names(["params.dropout", "train.learning_rate"]).values()) == ["dropout", "learning_rate"]
    keys = ["train.stages.0.learning_rate", "train.stages.1.learning_rate", "learning_rate"]
    assert list(short_names(keys).values()) == ["0.learning_rate", "1.learning_rate", "learning_rate"]
    assert [tell_setting(value) for value in (1e-5, 0.30000000000000004, None, True, "adam", [64, 64])] == [
        *("1e-05", "0.3", "null", "true", "adam", "[64, 64]")
    ]
    assert tell_values([number / 10 for number in range(9)]) == "0 to 0.8"


def test_the_verdict_counts_what_was_pruned_and_what_failed():
    sweep = Sweep(model="cnn", space={"params.dropout": [0.2, 0.3]}, epochs=10)
    pruned = [trial_of(number, 0.4, state="pruned", epochs=2, metrics={"fit_seconds": 12.0}) for number in (3, 4)]
    trials = [trial_of(0, 0.8), trial_of(1, 0.6), *pruned, FAILED]
    saving = find_saving(trials, sweep)
    assert (saving.epochs, saving.share, saving.seconds) == (16, pytest.approx(16 / 40), pytest.approx(96))
    of_complete = find_saving([trial_of(0, 0.8), replace(pruned[0], metrics={})], sweep)
    assert of_complete.seconds == pytest.approx(8 * 6)
    assert find_saving(trials[:2], sweep) is None
    _, spared, failed = tell_verdict(trials, sweep)
    assert spared.startswith("Pruning ended 2 trials early and saved 16 epochs, 40% of what")
    assert failed == "1 trial failed: the loss became NaN."
    assert tell_states(trials) == "5 trials: 2 complete, 2 pruned, 1 failed"
    assert tell_verdict([FAILED], sweep)[0] == "None of 1 trial is complete, so there is no best one."
