"""Sweeps of real trials: a crash, Ctrl-C, a second process or a failing trial never costs another trial."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psutil
import pytest

from pipeline_config.experiment import Compute
from tasks.processes import open_nursery
from tasks.statistics import Interval
from tasks.train.trial import Job, TrialFit, fit_trial

pytestmark = [
    # Great Expectations imports a library of Google's where Ray has brought it.
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
    # MLflow knows local files twice.
    pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning"),
]

CNN = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
SVM = {"name": "svm", "family": "linear_svm"}
TRAIN = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01}
GRID = {
    "model": "cnn",
    "space": {"params.dense_units": [[2], [4], [8], [16], [8, 8]]},
    "metric": "val_loss",
    "epochs": 2,
    "pruner": "none",
    "winner": "continue",
}
DIVERGING = {"optimizer": "sgd", "learning_rate": 1e30}
TWO = {"workers": 2}


def query(database: Path, statement: str, *values: Any) -> list[Any]:
    """Rows; none while there is no such table."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.OperationalError:
        return []


def runs_of(home: Path, kind: str) -> dict[str, SimpleNamespace]:
    """Id of each MLflow run of a kind -> its status and tags."""
    found = {}
    for run_id, status in query(home / "mlflow.db", "SELECT run_uuid, status FROM runs"):
        tags = dict(query(home / "mlflow.db", "SELECT key, value FROM tags WHERE run_uuid = ?", run_id))
        if tags.get("darkroom.kind") == kind:
            found[run_id] = SimpleNamespace(status=status, tags=tags)
    return found


def statuses(home: Path, kind: str) -> list[str]:
    return sorted(run.status for run in runs_of(home, kind).values())


def states(home: Path) -> dict[int, str]:
    """Number of each of Optuna's trials -> its state there."""
    return dict(query(home / "sweeps" / "optuna.db", "SELECT number, state FROM trials"))


def complete(home: Path) -> set[int]:
    return {number for number, state in states(home).items() if state == "COMPLETE"}


def told_to_the_end(home: Path) -> set[int]:
    """Numbers of the trials of `GRID` that have told the values of all their epochs."""
    statement = """SELECT number FROM trials JOIN trial_intermediate_values AS told ON told.trial_id = trials.trial_id
        GROUP BY number HAVING COUNT(*) >= ?"""
    return {number for (number,) in query(home / "sweeps" / "optuna.db", statement, GRID["epochs"])}


def curve(home: Path, run_id: str, metric: str) -> list[float]:
    rows = query(home / "mlflow.db", "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ?", run_id, metric)
    return [value for step, value in sorted(rows) if step]


def forks(running: Any) -> list[psutil.Process]:
    """The command's nursery and all its trials at work."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(running.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "multiprocessing.forkserver" in " ".join(process.cmdline()):
                    found.append(process)
    return found


def trial_processes(running: Any) -> dict[int, psutil.Process]:
    """Number of each trial at work -> its process, known by the log that it writes to."""
    found = {}
    for process in forks(running):
        with suppress(OSError):
            log = Path(f"/proc/{process.pid}/fd/1").readlink()
            if log.match("sweeps/*/trial-*.log"):
                found[int(log.stem.removeprefix("trial-"))] = process
    return found


def ended(result: Any, code: int = 0) -> dict[str, Any]:
    """The answer of a command that was run with --json."""
    assert result.code == code, (result.answer, getattr(result, "stderr", None))
    return result.answer


@pytest.fixture(autouse=True, scope="module")
def nursery(repository) -> Iterator[None]:
    """That of this process, opened before any test's home is the one of its environment; it finds this file's work."""
    with mock.patch.object(sys, "path", [str(repository), *sys.path]):
        open_nursery()
        yield


# Two sweeps at once, in one home and one SQLite file: one of them in trouble, the other not.


@pytest.fixture(scope="module")
def together(tmp_path_factory, darkroom, darkroom_here, new_home, pictures, write_experiment, prefect_url, wait_until):
    """`grid` from its beginning to its end, beside `troubled`, of which a trial's process is killed and two diverge."""
    import flows.stages

    folder = tmp_path_factory.mktemp("together")
    home = new_home(folder / "home")
    grid = write_experiment(folder / "grid.yaml", pictures, models=[CNN], train=TRAIN, sweep=GRID, execution=TWO)
    sweep = {"model": "cnn", "space": {"train.learning_rate": [0.01, 1e30], "train.seed": [0, 1]}, "max_failed": 0.8}
    train = {**TRAIN, "epochs": 2, "optimizer": "sgd"}
    troubled = write_experiment(folder / "troubled.yaml", pictures, models=[CNN], train=train, sweep=sweep)
    storage = {"DARKROOM_SWEEP_STORAGE": f"sqlite:///{folder / 'shared.db'}"}
    with (
        mock.patch.dict(os.environ, storage),
        mock.patch.object(flows.stages, "sweep", wraps=flows.stages.sweep) as of_grid,
        darkroom.start("sweep", troubled, "--json", home=home, PREFECT_API_URL=prefect_url, **storage) as running,
    ):
        killed = wait_until(lambda: kill_a_sound_trial(running), 240, "a trial at work")
        done = darkroom_here("sweep", grid, "--json", home=home)
        other = running.wait(240)
    ended(done)
    manifest = of_grid.call_args.args[1]
    return SimpleNamespace(folder=folder, home=home, grid=done, manifest=manifest, other=other, killed=killed)


def kill_a_sound_trial(running: Any) -> str | None:
    """The run of a trial that would have ended well, whose process was killed; None while there is none."""
    assert running.process.poll() is None, "the command ended before a trial was killed"
    processes = trial_processes(running)
    for run_id, run in runs_of(running.home, "trial").items():
        process = processes.get(int(run.tags.get("darkroom.trial", -1)))
        if process and "learning_rate 0.01" in run.tags["mlflow.runName"]:
            process.kill()
            return run_id
    return None


def test_two_sweeps_on_one_database_both_end_well(together):
    assert ended(together.grid)["sweep"]["counts"] == {"complete": 5, "pruned": 0, "failed": 0}
    assert ended(together.other)["sweep"]["counts"] == {"complete": 1, "pruned": 0, "failed": 3}
    assert (together.folder / "shared.db").exists()
    assert not (together.home / "sweeps" / "optuna.db").exists()


def test_a_trial_whose_process_is_killed_is_failed_with_the_reason(together):
    run = runs_of(together.home, "trial")[together.killed]
    assert run.status == "FAILED"
    assert "its process was killed" in run.tags["darkroom.failure"]
    (trial,) = [trial for trial in together.other.answer["sweep"]["trials"] if trial["run_id"] == together.killed]
    assert (trial["state"], trial["reason"]) == ("failed", run.tags["darkroom.failure"])


def test_a_trial_that_diverges_is_failed_with_the_reason(together):
    failed = [trial for trial in together.other.answer["sweep"]["trials"] if trial["state"] == "failed"]
    diverged = [trial for trial in failed if trial["run_id"] != together.killed]
    assert [trial["params"]["train.learning_rate"] for trial in diverged] == [1e30, 1e30]
    assert all("loss became" in trial["reason"] for trial in diverged)


def test_the_trials_that_are_left_decide_and_the_winner_meets_the_test_rows(together):
    answer = ended(together.other)
    (best,) = [trial for trial in answer["sweep"]["trials"] if trial["state"] == "complete"]
    assert answer["sweep"]["best"] == best["number"]
    assert "test_accuracy" in answer["models"][0]["metrics"]
    assert together.other.stderr == ""
    assert together.other.left == ()


def test_no_trial_meets_the_test_rows(together):
    names = {row[0] for run_id in runs_of(together.home, "trial") for row in metrics_of(together.home, run_id)}
    assert {"val_loss", "val_accuracy", "chosen_val_loss"} <= names
    assert [name for name in names if name.startswith("test_")] == []


def metrics_of(home: Path, run_id: str) -> list[Any]:
    return query(home / "mlflow.db", "SELECT DISTINCT key FROM metrics WHERE run_uuid = ?", run_id)


def test_the_report_of_each_sweep_is_on_its_run(together):
    for run_id in runs_of(together.home, "sweep"):
        (report,) = together.home.glob(f"artifacts/{run_id}/artifacts/sweep/report.html")
        assert report.stat().st_size > 1000


# The winner is trained on.


@pytest.fixture(scope="module")
def winner(together) -> SimpleNamespace:
    answer = together.grid.answer
    best = answer["sweep"]["trials"][answer["sweep"]["best"]]
    return SimpleNamespace(best=best, run_id=answer["models"][0]["run_id"], home=together.home)


def test_the_winner_s_run_begins_with_the_epochs_of_its_trial(winner):
    of_trial, of_run = (curve(winner.home, run_id, "val_loss") for run_id in (winner.best["run_id"], winner.run_id))
    assert len(of_trial) == 2
    assert len(of_run) == 4
    assert of_run[:2] == of_trial
    assert winner.best["value"] == min(trial for trial in of_trial) == of_trial[-1]


def test_the_winner_trained_on_is_the_same_as_one_trained_at_once(together, winner):
    """With a constant learning rate and no dropout, in which the number of epochs shows."""
    from pipeline_config.loading import load_experiment
    from tasks.sweep.space import with_values

    model = with_values(load_experiment(str(together.folder / "grid.yaml"), []).models[0], winner.best["params"])
    told = []
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(together.home)):
        fit = fit_trial(told.append, Job(model, together.manifest, Compute(), "val_loss"))
    assert len(told) == 4
    for metric in ("train_loss", "val_loss", "val_accuracy"):
        assert curve(winner.home, winner.run_id, metric) == pytest.approx(fit.history[metric], rel=1e-3)


# A sweep that is killed, gone on with, interrupted, and gone on with.


@pytest.fixture(scope="module")
def chain(tmp_path_factory, darkroom, darkroom_here, new_home, pictures, write_experiment, prefect_url, wait_until):
    """The same sweep as `grid` of `together`, in another home; what there was after each of its ends.

    While it is at work a second one asks for the same.
    """
    home = new_home(tmp_path_factory.mktemp("chain") / "home")
    grid = write_experiment(home.with_name("grid.yaml"), pictures, models=[CNN], train=TRAIN, sweep=GRID, execution=TWO)
    command = ("sweep", grid, "--json")
    found = SimpleNamespace(home=home)

    with darkroom.start(*command, home=home, PREFECT_API_URL=prefect_url) as running:
        stopped = wait_until(lambda: stop_at_work(running, done=1), 240, "a trial that ended, and one at work")
        found.second = darkroom_here(*command, home=home)
        found.beside, found.code_of_first = snapshot(home), running.process.poll()
        running.process.kill()
        for process in stopped:
            process.resume()
        running.process.wait()
        found.outlived = psutil.wait_procs(stopped, timeout=20)[1]
    found.killed = snapshot(home)
    one_more = len(complete(home)) + 1

    with darkroom.start(*command, home=home, PREFECT_API_URL=prefect_url) as running:
        stopped = wait_until(
            lambda: stop_at_work(running, done=one_more), 240, "another trial that ended, and one at work"
        )
        running.interrupt(alone=False)
        for process in stopped:
            process.resume()
        found.interrupted_command = running.wait_or_kill(20)
    found.interrupted = snapshot(home)

    found.last = darkroom_here(*command, home=home)
    found.end = snapshot(home)
    return found


def snapshot(home: Path) -> SimpleNamespace:
    kinds = ("pipeline", "sweep", "trial", "train")
    return SimpleNamespace(
        states=states(home),
        trials=runs_of(home, "trial"),
        statuses={kind: statuses(home, kind) for kind in kinds},
    )


def at_work(running: Any, done: int) -> bool:
    """Whether so many trials are complete, and another is at work."""
    assert running.process.poll() is None, "the command ended before it could be interrupted"
    return len(complete(running.home)) >= done and bool(trial_processes(running))


def stop_at_work(running: Any, done: int) -> list[psutil.Process]:
    """The trials' processes and the nursery, stopped while trials are at work; none where that is not yet so.

    None either while one of them has told its last epoch: it may be finished in MLflow already, and not yet in Optuna.
    """
    if not at_work(running, done):
        return []
    stopped = forks(running)
    for process in stopped:
        process.suspend()
    unfinished = {number for number, state in states(running.home).items() if state == "RUNNING"}
    if unfinished and unfinished <= trial_processes(running).keys() - told_to_the_end(running.home):
        return stopped
    for process in stopped:
        process.resume()
    return []


def test_a_second_command_at_the_same_sweep_is_told_so_and_the_first_goes_on(chain):
    assert chain.second.code == 1
    assert "expected to be the only one at it; another process is" in chain.second.answer["error"]
    assert "\n" not in chain.second.answer["error"]
    assert chain.code_of_first is None
    assert chain.beside.statuses["sweep"] == ["RUNNING"]
    assert set(chain.beside.statuses["trial"]) <= {"RUNNING", "FINISHED"}
    assert len(chain.beside.states) == 5
    assert "FAIL" not in chain.beside.states.values()


def test_no_trial_outlives_a_command_that_is_killed(chain):
    assert chain.outlived == []
    assert "RUNNING" in chain.killed.states.values()


def test_a_killed_sweep_is_closed_by_the_next_command_and_its_interrupted_trials_run_again(chain):
    left = [run_id for run_id, run in chain.killed.trials.items() if run.status == "RUNNING"]
    assert left
    assert {chain.interrupted.trials[run_id].status for run_id in left} == {"KILLED"}
    again = [trial for trial in chain.last.answer["sweep"]["trials"] if trial["run_id"] in left]
    assert again == []


def test_finished_trials_are_not_repeated(chain):
    trials = {trial["number"]: trial["run_id"] for trial in ended(chain.last)["sweep"]["trials"]}
    for found in (chain.killed, chain.interrupted):
        finished = {number for number, state in found.states.items() if state == "COMPLETE"}
        assert finished
        assert finished <= trials.keys()
        assert {trials[number] for number in finished} <= found.trials.keys()
    assert chain.end.statuses["trial"].count("FINISHED") == 5


def test_the_grid_is_complete_in_the_end(chain):
    trials = ended(chain.last)["sweep"]["trials"]
    assert len({repr(trial["params"]) for trial in trials}) == len(trials) == 5
    assert {trial["state"] for trial in trials} == {"complete"}


def test_no_run_is_left_running_not_even_the_killed_pipeline_s(chain):
    assert chain.killed.statuses["pipeline"].count("RUNNING") == 1
    for found in (chain.interrupted, chain.end):
        assert [status for kind in found.statuses.values() for status in kind if status == "RUNNING"] == []
    # The second command at the same sweep failed; the others went on with one run, killed, interrupted, and finished.
    assert chain.end.statuses["pipeline"] == ["FAILED", "FINISHED"]
    assert chain.end.statuses["sweep"] == ["FINISHED"]


def test_the_winner_is_that_of_the_uninterrupted_sweep(chain, together):
    ours, theirs = (answer["sweep"] for answer in (chain.last.answer, ended(together.grid)))
    assert ours["study"] == theirs["study"]
    best, same = (sweep["trials"] for sweep in (ours, theirs))
    best = next(trial for trial in best if trial["number"] == ours["best"])
    same = next(trial for trial in same if trial["number"] == theirs["best"])
    assert best["params"] == same["params"]
    assert best["value"] == pytest.approx(same["value"], rel=1e-3)


def test_ctrl_c_ends_a_sweep_soon_and_leaves_no_process(chain):
    finished = chain.interrupted_command
    assert finished.code == 1, "killed, since it still ran after 20 s" if finished.code < 0 else finished.stderr
    assert finished.answer == {"status": "interrupted", "error": "interrupted"}
    assert finished.stderr == ""
    assert finished.left == ()


def test_ctrl_c_leaves_the_runs_killed_and_not_failed(chain):
    since = {run_id: run for run_id, run in chain.interrupted.trials.items() if run_id not in chain.killed.trials}
    assert {run.status for run in since.values()} == {"FINISHED", "KILLED"}
    assert chain.interrupted.statuses["sweep"] == ["KILLED"]
    killed = [run for run in since.values() if run.status == "KILLED"]
    assert {run.tags["darkroom.failure"] for run in killed} == {"interrupted"}


def test_an_interrupt_of_the_command_alone_ends_its_trials_too(
    tmp_path, darkroom, new_home, pictures, write_experiment, prefect_url, wait_until
):
    home = new_home(tmp_path / "home")
    grid = write_experiment(tmp_path / "grid.yaml", pictures, models=[CNN], train=TRAIN, sweep=GRID, execution=TWO)
    with darkroom.start("sweep", grid, home=home, PREFECT_API_URL=prefect_url) as running:
        wait_until(lambda: at_work(running, done=0), 240, "a trial at work")
        running.interrupt(alone=True)
        finished = running.wait_or_kill(20)
    assert finished.code == 1, "killed, since it still ran after 20 s" if finished.code < 0 else finished.stderr
    assert finished.stderr.splitlines()[-1] == "darkroom: interrupted"
    assert "Traceback" not in finished.stderr
    assert finished.left == ()
    for kind in ("pipeline", "sweep", "trial"):
        assert set(statuses(home, kind)) <= {"KILLED", "FINISHED"}
    assert "KILLED" in statuses(home, "trial")


# All trials fail.


@pytest.fixture(scope="module")
def hopeless(tmp_path_factory, darkroom_here, new_home, pictures, write_experiment) -> SimpleNamespace:
    """A run with a second model, and then the rest of its sweep."""
    home = new_home(tmp_path_factory.mktemp("hopeless") / "home")
    experiment = write_experiment(
        home.with_name("hopeless.yaml"),
        pictures,
        models=[{**CNN, "train": DIVERGING}, SVM],
        train=TRAIN,
        sweep={"model": "cnn", "space": {"train.seed": [1, 2, 3]}},
        execution={"workers": 1},
    )
    run = darkroom_here("run", experiment, "--json", home=home)
    trials = runs_of(home, "trial")
    rest = darkroom_here("sweep", experiment, "--json", "--set", "sweep.max_failed=1", home=home)
    return SimpleNamespace(home=home, run=run, trials=trials, rest=rest)


def test_a_sweep_ends_when_more_than_the_share_of_its_trials_have_failed(hopeless):
    assert [run.status for run in hopeless.trials.values()] == ["FAILED", "FAILED"]
    sentence = ended(hopeless.run, 1)["error"]
    assert "2 of 3 trials failed, more than the share of 0.5 that sweep.max_failed allows" in sentence


def test_every_failed_trial_has_its_reason_which_is_told_once(hopeless):
    reasons = {run.tags["darkroom.failure"] for run in hopeless.trials.values()}
    (reason,) = reasons
    assert "the training loss became" in reason
    for result in (hopeless.run, hopeless.rest):
        assert result.answer["error"].count(reason) == 1
        assert "\n" not in result.answer["error"]


def test_the_other_model_of_the_experiment_is_trained_and_evaluated_all_the_same(hopeless):
    answer = ended(hopeless.run, 1)
    assert answer["status"] == "failed_models"
    assert [failure["name"] for failure in answer["failures"]] == ["cnn"]
    (model,) = answer["models"]
    assert model["name"] == "svm"
    assert model["metrics"]["test_accuracy"] >= 0.6


def test_a_sweep_without_a_complete_trial_says_so_and_tries_no_trial_twice(hopeless):
    assert "no trial came to its end" in ended(hopeless.rest, 1)["error"]
    assert statuses(hopeless.home, "trial") == ["FAILED"] * 3


def test_a_sweep_that_failed_has_its_report(hopeless):
    (run,) = runs_of(hopeless.home, "sweep")
    assert statuses(hopeless.home, "sweep") == ["FAILED"]
    (report,) = hopeless.home.glob(f"artifacts/{run}/artifacts/sweep/report.html")
    assert "the training loss became" in report.read_text()


# Memory.


def end_at_once(tell: Any, job: Job) -> TrialFit:
    """The work of a trial that costs next to nothing, with an epoch."""
    tell({"val_accuracy": [0.5], "val_loss": [0.7]})
    accuracy = 0.5 + job.model.train.seed / 100
    metrics = {"chosen_val_accuracy": accuracy, "chosen_val_loss": 0.7, "fit_seconds": 1.0, "parameters": 3.0}
    return TrialFit({"val_accuracy": [0.5], "val_loss": [0.7]}, metrics, Interval(accuracy - 0.1, accuracy + 0.1))


@pytest.mark.soak
def test_the_command_s_own_memory_does_not_grow_with_the_number_of_trials(
    tmp_path, darkroom_here, new_home, pictures, write_experiment
):
    import flows.trials
    from tasks.sweep.study import close_trial

    space = {"train.seed": {"low": 0, "high": 29, "step": 1}}
    experiment = write_experiment(
        tmp_path / "many.yaml", pictures, models=[SVM], sweep={"model": "svm", "space": space}, execution=TWO
    )
    held = []

    def close(*about):
        close_trial(*about)
        held.append(psutil.Process().memory_info().rss)

    with (
        mock.patch.object(flows.trials, "fit_trial", end_at_once),
        mock.patch.object(flows.trials.studies, "close_trial", close),
    ):
        answer = ended(darkroom_here("sweep", experiment, "--json", home=new_home(tmp_path / "home")))
    assert len(held) == answer["sweep"]["counts"]["complete"] == 30
    assert answer["sweep"]["trials"][answer["sweep"]["best"]]["params"] == {"train.seed": 29}
    print(f"from {held[2] / 2**20:.0f} to {held[-1] / 2**20:.0f} MiB")
    assert held[-1] - held[2] < 50 * 2**20


# What is wrong with a sweep is told before anything starts.


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("sweep.space={train.learning_rat: [0.1]}", "sweep.space.train.learning_rat: unknown key"),
        ("sweep.space={params.dropout: [0.1, high]}", "params.dropout: expected a valid number"),
        ("sweep.space={split.seed: [1]}", "sweep.space.split.seed: expected a key below params or train"),
        ("sweep.model=cnnn", "sweep.model: one of cnn; received cnnn"),
        ("sweep=null", "expected a section sweep; received none"),
    ],
)
def test_a_space_that_cannot_be_is_refused_with_code_2_before_any_data_are_read(
    tmp_path, darkroom_here, write_experiment, setting, told
):
    experiment = write_experiment(tmp_path / "grid.yaml", tmp_path / "nowhere", models=[CNN], sweep=GRID, train=TRAIN)
    finished = darkroom_here("sweep", experiment, "--json", "--set", setting, home=tmp_path / "home")
    assert finished.code == 2
    assert told in finished.answer["error"]
    assert not (tmp_path / "home").exists()
