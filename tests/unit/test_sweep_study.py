"""A study that is taken up again has lost and repeats nothing; pruning saves epochs and keeps the best trial."""

import functools
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import optuna
import pytest
from optuna.trial import TrialState

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment
from tasks.processes import WorkFailed
from tasks.records import Trial
from tasks.statistics import Interval
from tasks.sweep import study as studies
from tasks.sweep import task
from tasks.sweep.space import decode, distributions, grid
from tasks.sweep.study import close_interrupted, close_trial, finished_trials, held, open_study, queue_grid, study_name
from tasks.sweep.task import Plan, TrialFailed, run_trial
from tasks.sweep.ties import find_best
from tasks.tracking import RunTags
from tasks.train.trial import TrialFit

EPOCHS = 12
SPACE = {"train.learning_rate": [0.1, 0.01, 0.001], "params.dense_units": [[4], [8, 8]]}


def make_experiment(name="e", train=None, **sweep):
    return Experiment.model_validate(
        {
            "name": name,
            "dataset": {"source": "digits"},
            "models": [{"name": "cnn", "family": "cnn_plain"}, {"name": "svm", "family": "linear_svm"}],
            "train": {"epochs": EPOCHS} | (train or {}),
            "sweep": {"model": "cnn", "space": SPACE, "pruner": "none"} | sweep,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of one database for all tests, each of which has a study of its own."""
    return tmp_path_factory.mktemp("storage")


@pytest.fixture
def opened(folder, request):
    """`opened(section)`: the test's study as after a new start, when nothing is known but what the database holds."""

    def open_again(section, suffix=""):
        name = f"{request.node.name}{suffix}"
        return open_study(name, section, EPOCHS, f"sqlite:///{folder / 'optuna.db'}", folder)

    return open_again


def complete(number, values, value=0.5, **more):
    return Trial(number, "complete", values, f"run {number}", value=value, epochs=EPOCHS, **more)


def end_next(study, section, ended=complete):
    """Ask for a trial and close it; its values."""
    trial = study.ask(distributions(section))
    values = decode(section, trial.params)
    close_trial(study, trial, ended(trial.number, values))
    return values


# The name: what makes it the same sweep.


def name_of(digest="digest", **changes):
    return study_name(make_experiment(**changes), digest)


def test_the_same_sweep_of_the_same_data_has_the_same_name():
    assert name_of() == name_of()
    assert name_of().startswith("e-cnn-")


@pytest.mark.parametrize("change", [{"trials": 3}, {"timeout": "1h"}, {"max_failed": 0.1}])
def test_how_many_trials_and_how_long_may_change(change):
    assert name_of(**change) == name_of()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"digest": "other"},
        {"model": "svm"},
        {"space": {"train.learning_rate": [0.1]}},
        {"space": {**SPACE, "params.dense_units": [[4]]}},
        {"metric": "val_loss"},
        {"seed": 1},
        {"pruner": "median"},
        {"sampler": "random", "trials": 6},
        {"epochs": 3},
        {"train": {"batch_size": 8}},
    ],
    ids=str,
)
def test_another_question_is_another_study(change):
    assert name_of(**change) != name_of()


# One process at a time.


def test_a_study_that_another_has_is_refused_in_a_sentence(tmp_path):
    told = "sweep s: expected to be the only one"
    with held("s", tmp_path), pytest.raises(DarkroomError, match=told), held("s", tmp_path):
        pytest.fail("two have it")
    with held("s", tmp_path), held("other", tmp_path):
        pass


HOLDING = """
import sys, time
from pathlib import Path
from tasks.sweep.study import held
with held("s", Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_process_that_is_killed_leaves_its_study_free(tmp_path, repository):
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DarkroomError), held("s", tmp_path):
            pytest.fail("two have it")
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        with held("s", tmp_path):
            pass


# The grid.


def test_every_combination_is_tried_once_and_none_again_after_a_new_start(opened):
    section = make_experiment().sweep
    tried = []
    for _ in range(3):
        study = opened(section)
        queue_grid(study, section)
        tried += [end_next(study, section) for _ in range(2)]
    assert sorted(map(repr, tried)) == sorted(repr(decode(section, row)) for row in grid(section))
    assert len(finished_trials(study, section)) == len(study.trials) == 6


def test_the_order_of_the_grid_is_drawn_by_the_seed(opened):
    orders = []
    for seed in (0, 0, 1):
        section = make_experiment(seed=seed).sweep
        study = opened(section, str(len(orders)))
        queue_grid(study, section)
        orders.append([repr(end_next(study, section)) for _ in range(6)])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_is_drawn_after_a_new_start_is_not_what_was_drawn_before(opened, sampler):
    space = {"params.dropout": {"low": 0, "high": 1.0}}
    section = make_experiment(space=space, sampler=sampler, trials=6).sweep
    drawn = []
    for _ in range(2):
        study = opened(section)
        drawn += [end_next(study, section)["params.dropout"] for _ in range(3)]
    assert len(set(drawn)) == 6
    again = make_experiment(space=space, sampler=sampler, trials=6).sweep
    study = opened(again, "other")
    assert [end_next(study, again)["params.dropout"] for _ in range(3)] == drawn[:3]


# What a kill leaves.


def left_at_work(opened, section, when):
    """A study whose process was killed after one trial had ended and while two others were at work."""
    study = opened(section)
    if section.sampler == "grid":
        queue_grid(study, section)
    end_next(study, section)
    first, second = (study.ask(distributions(section)) for _ in range(2))
    first.report(0.3, 1)
    if when == "between record and end":
        first.set_user_attr(studies._OUTCOME, {"state": "complete", "run_id": "run", "value": 0.9})
    if when == "before its values were drawn":
        study.ask()  # as if the process was killed between the two
    return [decode(section, trial.params) for trial in (first, second)]


@pytest.mark.parametrize("when", ["at work", "between record and end"])
def test_interrupted_trials_are_run_again_with_their_values_and_counted_once(opened, when):
    section = make_experiment().sweep
    interrupted = left_at_work(opened, section, when)
    study = opened(section)
    assert close_interrupted(study) == [1, 2]
    queue_grid(study, section)
    assert [trial.number for trial in finished_trials(study, section)] == [0]
    tried = [end_next(study, section) for _ in range(5)]
    assert [values for values in tried if values in interrupted] == interrupted
    ended = finished_trials(study, section)
    assert sorted(repr(trial.params) for trial in ended) == sorted(repr(decode(section, row)) for row in grid(section))
    assert not any(trial.state in {TrialState.RUNNING, TrialState.WAITING} for trial in study.trials)


def test_interrupted_trials_of_a_random_search_are_run_again_with_their_values(opened):
    space = {"params.dropout": {"low": 0, "high": 1.0}}
    section = make_experiment(space=space, sampler="random", trials=9).sweep
    interrupted = left_at_work(opened, section, "at work")
    study = opened(section)
    close_interrupted(study)
    assert [end_next(study, section) for _ in range(2)] == interrupted


def test_a_trial_that_was_killed_before_it_had_values_is_forgotten(opened):
    space = {"params.dropout": {"low": 0, "high": 1.0}}
    section = make_experiment(space=space, sampler="random", trials=9).sweep
    left_at_work(opened, section, "before its values were drawn")
    study = opened(section)
    assert close_interrupted(study) == [1, 2, 3]
    assert sum(trial.state == TrialState.WAITING for trial in study.trials) == 2


def test_a_second_kill_in_the_midst_of_closing_neither_loses_nor_doubles_a_trial(opened):
    section = make_experiment().sweep
    interrupted = left_at_work(opened, section, "at work")
    study = opened(section)
    with mock.patch.object(type(study), "tell", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        close_interrupted(study)  # the first is queued again, and not closed
    study = opened(section)
    close_interrupted(study)
    queue_grid(study, section)
    tried = [end_next(study, section) for _ in range(5)]
    assert len({repr(values) for values in tried}) == 5
    assert all(values in tried for values in interrupted)
    assert len(finished_trials(study, section)) == 6
    assert not any(trial.state == TrialState.WAITING for trial in study.trials)


def test_a_trial_that_is_interrupted_twice_is_run_again_twice(opened):
    section = make_experiment(space={"train.learning_rate": [0.1]}).sweep
    for _ in range(2):
        study = opened(section)
        close_interrupted(study)
        queue_grid(study, section)
        study.ask(distributions(section))
    study = opened(section)
    close_interrupted(study)
    queue_grid(study, section)
    assert finished_trials(study, section) == []
    assert end_next(study, section) == {"train.learning_rate": 0.1}
    assert [trial.number for trial in finished_trials(study, section)] == [2]


def test_what_became_of_a_trial_is_read_back_whole_after_a_new_start(opened):
    section = make_experiment().sweep
    study = opened(section)
    queue_grid(study, section)
    trials = [
        lambda number, values: complete(number, values, 0.9, low=0.8, high=0.95, metrics={"parameters": 3.0}),
        lambda number, values: Trial(number, "pruned", values, "run", value=0.1, epochs=2),
        lambda number, values: Trial(number, "failed", values, "run", reason="models.cnn: the loss became nan"),
    ]
    expected = []
    for make in trials:
        end_next(study, section, lambda *about, make=make: expected.append(make(*about)) or expected[-1])
    assert finished_trials(opened(section), section) == expected
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "PRUNED", "FAIL"]


# Pruning.

RECORDED = [
    (0.002, 0.0, [309, 635, 771, 888, 924, 920, 928, 952, 948, 956, 960, 952]),
    (0.00035, 0.6, [96, 96, 205, 265, 317, 398, 470, 466, 490, 582, 663, 667]),
    (0.61, 0.3, [72, 112, 108, 108, 112, 108, 84, 72, 72, 96, 96, 100]),
    (0.0026, 0.0, [345, 691, 839, 904, 912, 960, 940, 964, 972, 960, 964, 968]),
    (1.3e-06, 0.6, [141, 141, 145, 145, 145, 145, 145, 145, 145, 145, 145, 145]),
    (0.74, 0.0, [96, 108, 108, 112, 112, 72, 96, 96, 72, 96, 96, 100]),
    (5.1e-06, 0.6, [145, 145, 145, 145, 145, 141, 141, 137, 137, 137, 137, 137]),
    (0.0014, 0.6, [145, 486, 606, 655, 819, 823, 863, 884, 904, 908, 912, 916]),
    (0.00055, 0.6, [68, 201, 293, 341, 458, 550, 614, 602, 707, 767, 803, 839]),
    (0.0047, 0.3, [558, 767, 876, 924, 932, 936, 964, 936, 960, 964, 960, 964]),
    (0.00014, 0.3, [133, 137, 124, 133, 145, 165, 241, 293, 345, 406, 466, 486]),
    (0.01, 0.0, [598, 843, 900, 936, 956, 956, 952, 964, 976, 980, 976, 972]),
    (7.8e-05, 0.3, [133, 141, 129, 137, 129, 124, 137, 133, 145, 149, 153, 189]),
    (0.85, 0.3, [108, 112, 108, 112, 112, 84, 84, 96, 72, 96, 96, 112]),
    (0.0083, 0.3, [683, 827, 888, 912, 940, 936, 936, 960, 952, 944, 956, 964]),
    (9e-06, 0.3, [145, 145, 141, 141, 145, 137, 137, 141, 137, 133, 133, 141]),
]
"""Learning rate, dropout, and validation accuracy in thousandths by epoch, of sixteen trainings of a small network on
the digits, drawn by seed 0 from a wide range: half of them learn next to nothing."""


@functools.cache
def replay(pruner):
    """The sweep of the recorded trainings, decided as a real one is: its trials, and what MLflow was told.

    What a trial's process would compute is read from the record.
    """
    rates = [rate for rate, _, _ in RECORDED]
    section = make_experiment(space={"train.learning_rate": rates}, pruner=pruner).sweep
    tags = RunTags("e", "digest", None)
    with (
        TemporaryDirectory() as folder,
        mock.patch.object(task, "tracking") as tracking,
        mock.patch.object(task, "run_isolated", replayed),
    ):
        study = optuna.create_study(study_name=pruner, direction="maximize", pruner=studies._pruner(section, EPOCHS))
        for rate in rates:
            study.enqueue_trial({"train.learning_rate": rate})
            trial = study.ask(distributions(section))
            plan = make_plan(Path(folder), trial.number, decode(section, trial.params))
            tracking.run.return_value.__enter__.return_value = f"run {trial.number}"
            close_trial(study, trial, run_trial.fn(trial, plan, None, plan.values, tags, "sweep"))
        return finished_trials(study, section), tracking


def make_plan(folder, number, values):
    return Plan("trial", "s", number, values, {}, "val_accuracy", EPOCHS, folder / "log")


def replayed(_, arguments, hear, __):
    """In the place of `run_isolated`: the recorded epochs of the learning rate, as `fit_trial` tells them."""
    (curve,) = (curve for rate, _, curve in RECORDED if rate == arguments[0]["train.learning_rate"])
    curve = [value / 1000 for value in curve]
    for epoch, value in enumerate(curve, 1):
        if hear({"val_accuracy": [value], "val_loss": [1 - value]}):
            return TrialFit({"val_accuracy": curve[:epoch], "val_loss": [1 - value for value in curve[:epoch]]})
    metrics = {"chosen_val_accuracy": curve[-1], "chosen_val_loss": 1 - curve[-1], "parameters": 9.0}
    return TrialFit({"val_accuracy": curve}, metrics, Interval(curve[-1] - 0.02, curve[-1] + 0.02))


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_pruning_saves_two_fifths_of_the_epochs_and_finds_the_same_best_trial(pruner):
    trials, _ = replay(pruner)
    assert len(trials) == len(RECORDED) == 16
    assert 1 - sum(trial.epochs for trial in trials) / (16 * EPOCHS) >= 0.4
    rate, _, curve = max(RECORDED, key=lambda record: record[2][-1])
    best = find_best(trials, "val_accuracy")
    assert (best.params, best.value) == ({"train.learning_rate": rate}, curve[-1] / 1000)


def test_without_a_pruner_every_trial_has_all_its_epochs():
    trials, _ = replay("none")
    assert {(trial.state, trial.epochs) for trial in trials} == {("complete", EPOCHS)}


def test_the_first_four_trials_are_never_pruned_by_the_median():
    trials, _ = replay("median")
    assert [trial.state for trial in trials[:4]] == ["complete"] * 4
    assert "pruned" in {trial.state for trial in trials}


def test_a_pruned_trial_keeps_its_curves_and_is_marked():
    trials, tracking = replay("median")
    for trial in trials:
        curve = [value / 1000 for value in RECORDED[trial.number][2][: trial.epochs]]
        written = [call.args[1] for call in tracking.log_history.mock_calls if call.args[0] == trial.run_id]
        assert [value for history in written for value in history["val_accuracy"]] == curve
        (tags,) = [call.args[1] for call in tracking.set_tags.mock_calls if call.args[0] == trial.run_id]
        assert tags["darkroom.trial_state"] == trial.state
        if trial.state == "pruned":
            assert trial.value == curve[-1]
            assert tags["mlflow.note.content"].startswith(f"Pruned after epoch {trial.epochs} of 12")


def test_a_trial_is_not_ended_after_its_last_epoch_where_nothing_is_saved_by_it(tmp_path):
    trial, answers = mock.Mock(should_prune=lambda: True), []

    def tell_all(_, __, hear, ___):
        answers.extend(hear({"val_accuracy": [0.1]}) for _ in range(EPOCHS))
        raise WorkFailed("done")

    with (
        mock.patch.object(task, "tracking"),
        mock.patch.object(task, "run_isolated", tell_all),
        pytest.raises(TrialFailed),
    ):
        run_trial.fn(trial, make_plan(tmp_path, 0, {}), None, {}, RunTags("e", "digest", None), "sweep")
    assert answers == [True] * (EPOCHS - 1) + [False]


def test_a_failed_trial_keeps_the_epochs_that_it_had_and_its_reason(tmp_path):
    def tell_two(_, __, hear, ___):
        hear({"val_accuracy": [0.1], "val_loss": [2.0]})
        hear({"val_accuracy": [0.2], "val_loss": [1.0]})
        raise WorkFailed("its process was killed")

    trial = mock.Mock(should_prune=lambda: False)
    with mock.patch.object(task, "tracking") as tracking, mock.patch.object(task, "run_isolated", tell_two):
        tracking.run.return_value.__enter__.return_value = "run"
        tracking.run.return_value.__exit__.return_value = False
        with pytest.raises(TrialFailed) as raised:
            run_trial.fn(trial, make_plan(tmp_path, 0, {}), None, {}, RunTags("e", "digest", None), "sweep")
    assert raised.value.trial == Trial(0, "failed", {}, "run", epochs=2, reason="its process was killed")
    assert pickle.loads(pickle.dumps(raised.value)).trial == raised.value.trial  # as it comes from a cluster
    tracking.log_history.assert_called_once_with("run", {"val_accuracy": [0.1, 0.2], "val_loss": [2.0, 1.0]}, 1)
