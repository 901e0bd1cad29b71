"""The report of a sweep: page, Markdown, CSV and pictures."""

import csv
import json
import logging
import re
import warnings
from functools import partial
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from PIL import Image

from pipeline_config.sweep import Range, Sweep
from tasks.records import Trial
from tasks.sweep.figures import make_figures
from tasks.sweep.marks import find_marks
from tasks.sweep.page import render_page
from tasks.sweep.plots import find_plots
from tasks.sweep.report import write_report
from tasks.sweep.scale import make_scale
from tasks.sweep.shown_study import copy_for_show

FILTERS = [[64, 64, 64], [32, 32, 32], [32, 64, 128, 256, 512, 1024]]
SPACE = {
    "train.learning_rate": [1e-5, 1e-3],
    "params.filters": FILTERS,
    "params.dropout": Range(low=0.1, high=0.6),
}
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
NAMES = ("curves", "parallel_coordinates", "importance", "slices", "history")
EVIL = "</script><script>document.title = 'broken'</script>"


def sweep_of(states, metric="val_accuracy", keys=tuple(SPACE), values=None, reason="the loss became NaN"):
    """A study and its trials, one a state; the numbers are seeded."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(direction="minimize" if metric == "val_loss" else "maximize")
    trials = []
    for number, state in enumerate(states):
        all_params = {
            "train.learning_rate": [1e-5, 1e-3][number % 2],
            "params.filters": FILTERS[number % 3],
            "params.dropout": float(rng.uniform(0.1, 0.6)),
        }
        params = {key: all_params[key] for key in keys}
        value = float(0.5 + 0.2 * (number % 2) + rng.normal(0, 0.02)) if values is None else values[number]
        epochs = {"complete": 6, "pruned": 2, "failed": 0}[state]
        curve = {epoch: value - 0.3 / epoch for epoch in range(1, epochs + 1)}
        final = {"complete": value, "pruned": curve.get(2), "failed": None}[state]
        ends = (value - 0.03, value + 0.03) if state == "complete" else (None, None)
        metrics = {} if state == "failed" else {"fit_seconds": 12.5 * epochs, "parameters": 1000.0 + number}
        told = reason if state == "failed" else ""
        trials.append(Trial(number, state, params, f"{number:032}", final, *ends, epochs, metrics, told))
        stored = {key: json.dumps(value) if isinstance(value, list) else value for key, value in params.items()}
        study.add_trial(
            create_trial(
                state=STATES[state],
                value=value if state == "complete" else None,
                params=stored,
                distributions={key: distribution_of(key) for key in keys},
                intermediate_values=curve,
            )
        )
    sweep = Sweep(model="cnn", space={key: SPACE[key] for key in keys}, metric=metric, sampler="random", trials=9)
    return study, trials, sweep


def distribution_of(key):
    choices = SPACE[key]
    if isinstance(choices, Range):
        return FloatDistribution(choices.low, choices.high)
    return CategoricalDistribution([json.dumps(one) if isinstance(one, list) else one for one in choices])


ALL_STATES = ["complete"] * 5 + ["pruned", "failed", "complete", "pruned"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a sweep with trials of all states, written as a user gets it: no warning, and nothing said."""
    folder = tmp_path_factory.mktemp("sweep")
    study, trials, sweep = sweep_of(ALL_STATES, reason=EVIL)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        write_report(study, trials, sweep, folder / "new", 750)
    assert [str(one.message) for one in warned if "numpy" not in str(one.message)] == []
    return folder / "new"


def page_of(folder):
    """The page without the library in it."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    return re.sub(r"<script>/\*.*?</script>", "", text, flags=re.DOTALL)


def test_all_files_are_written_and_no_other(report):
    pictures = [f"{name}.png" for name in NAMES]
    assert sorted(path.name for path in report.iterdir()) == sorted(
        ["report.html", "report.md", "trials.csv", *pictures]
    )


def test_the_pictures_hold_their_text_and_are_not_empty(report):
    for name in NAMES:
        picture = np.asarray(Image.open(report / f"{name}.png").convert("L"))
        assert 300 < picture.shape[1] < 2000
        edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert edge.min() == 255  # what touches the edge is cut off
        assert (picture < 128).mean() > 0.002


def test_the_page_asks_for_nothing_and_holds_the_library_once(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    assert text.count("Plotly.react(") == 1
    assert text.count("<script>") == 2
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"(?!data:)", text)
    assert "default-src 'none'" in text
    assert "script-src 'sha256-" in text
    assert EVIL not in text
    assert "&lt;/script&gt;&lt;script&gt;document.title" in text


def test_the_page_opens_with_the_verdict_and_marks_ties_and_recommendation(report):
    page = page_of(report)
    assert page.index("are tied (val_accuracy") < page.index("<table>")
    assert "on 750 validation images" in page
    assert page.count("<strong>recommended</strong>") == 1
    assert "9 trials: 6 complete, 2 pruned, 1 failed" in page
    assert page.count("pruned after epoch 2") == 2


def test_rows_are_in_the_order_of_their_worth_and_their_cells_under_their_heads(report):
    lines = [line for line in (report / "report.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert len({len(row) for row in cells}) == 1
    heads, rows = cells[0], cells[2:]
    states = [row[heads.index("state")] for row in rows]
    assert states == ["complete"] * 6 + ["pruned"] * 2 + ["failed"]
    shown = [float(row[heads.index("val_accuracy")]) for row in rows[:6]]
    assert shown == sorted(shown, reverse=True)
    assert [row[0] for row in rows[:2]] == ["1", "2 ≈"]
    assert rows[-1][heads.index("note")].startswith("&lt;/script>")
    assert "[32, 64, 128, 256, 512, 1024]" in {row[heads.index("filters")].replace("\\", "") for row in rows}


def test_the_csv_has_unrounded_figures_settings_by_key_and_metrics_by_name(report):
    _, trials, _ = sweep_of(ALL_STATES)
    with (report / "trials.csv").open(newline="", encoding="utf-8") as file:
        rows = {int(row["number"]): row for row in csv.DictReader(file)}
    assert len(rows) == len(trials)
    for trial in trials:
        row = rows[trial.number]
        assert row["state"] == trial.state
        assert (float(row["value"]) if row["value"] else None) == trial.value
        assert json.loads(row["params.filters"]) == trial.params["params.filters"]
        assert float(row["params.dropout"]) == trial.params["params.dropout"]
        assert row["fit_seconds"] == str(trial.metrics.get("fit_seconds", ""))
    assert sum(row["recommended"] == "True" for row in rows.values()) == 1


@pytest.mark.parametrize(
    ("states", "missing"),
    [
        (["failed", "failed"], dict.fromkeys(NAMES[1:], "there are none")),
        ([], {"curves": "no trial reported", "slices": "there are none"}),
        (["complete", "pruned"], dict.fromkeys(NAMES[1:], "there is 1")),
    ],
)
def test_a_plot_that_cannot_be_drawn_is_left_out_and_the_page_says_why(tmp_path, states, missing):
    study, trials, sweep = sweep_of(states)
    write_report(study, trials, sweep, tmp_path)
    page = page_of(tmp_path)
    for name, why in missing.items():
        assert not (tmp_path / f"{name}.png").exists()
        assert f'data-figure="{name}"' not in page
        assert why in page
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {name for name in NAMES if f'data-figure="{name}"' in page}
    assert all(trial.reason in page for trial in trials)
    assert (tmp_path / "trials.csv").read_text().startswith("number,state,run_id,value,")


@pytest.mark.parametrize(
    ("keys", "values", "why"),
    [
        (("params.filters",), None, "filters alone was varied"),
        (tuple(SPACE), [0.5] * 4, "have the same val_accuracy"),
    ],
)
def test_importance_takes_two_settings_and_values_that_differ(keys, values, why):
    study, _, sweep = sweep_of(["complete"] * 4, keys=keys, values=values)
    missing = {plot.name: plot.missing for plot in find_plots(copy_for_show(study), sweep.metric)}
    assert why in missing.pop("importance")
    assert not any(missing.values())


def test_one_setting_and_equal_values_are_drawn_without_a_warning(tmp_path):
    study, trials, sweep = sweep_of(["complete"] * 4, keys=("params.filters",), values=[0.5] * 4)
    write_report(study, trials, sweep, tmp_path)
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {"curves", "parallel_coordinates", "slices", "history"}


def test_trials_of_equal_settings_have_neither_slices_nor_parallel_coordinates():
    study, trials, sweep = sweep_of(["complete"] * 4, keys=("params.filters",))
    shown = copy_for_show(study)
    same = [trial for trial in shown.trials if trial.number in {0, 3}]
    alike = optuna.create_study(direction="maximize")
    alike.add_trials(same)
    missing = {plot.name: plot.missing for plot in find_plots(alike, sweep.metric)}
    assert "all have the same settings" in missing["slices"]
    assert missing["slices"] == missing["parallel_coordinates"] == missing["importance"]
    assert not missing["history"]
    assert len(trials) == 4


def test_figures_name_settings_shortly_and_choices_as_people_write_them():
    study, trials, sweep = sweep_of(["complete"] * 8 + ["pruned"])
    shown = copy_for_show(study)
    marks = find_marks(trials, sweep.metric)
    told = make_figures(shown, marks, sweep.metric, find_plots(shown, sweep.metric))
    slices = [json.loads(figure) for figure in told["slices"]]
    heads = [figure["layout"]["xaxis"]["title"]["text"] for figure in slices]
    assert sorted(heads) == ["dropout", "filters", "learning_rate"]
    choices = slices[heads.index("filters")]["layout"]["xaxis"]["categoryarray"]
    assert choices[:2] == ["[64, 64, 64]", "[32, 32, 32]"]
    assert len(choices[2]) <= 22
    assert slices[heads.index("learning_rate")]["layout"]["xaxis"]["categoryarray"] == ["1e-05", "0.001"]
    curves = json.loads(told["curves"][0])["data"]
    assert len(curves) == 9
    assert curves[-1]["name"].startswith("best, trial ")
    assert sum(line.get("showlegend", True) for line in curves) == len({line["name"] for line in curves})


def test_showing_a_study_does_not_change_it_and_keeps_numbers_and_curves():
    study, _, _ = sweep_of(ALL_STATES)
    study.ask()  # runs still
    before = study.get_trials()
    shown = copy_for_show(study)
    assert study.get_trials() == before
    assert [trial.number for trial in shown.trials] == [trial.number for trial in before]
    assert [trial.value for trial in shown.trials] == [trial.value for trial in before]
    assert [trial.intermediate_values for trial in shown.trials] == [trial.intermediate_values for trial in before]
    assert shown.trials[-1].state == TrialState.FAIL


def test_showing_a_study_is_not_logged_and_leaves_the_level_of_the_log_as_it_was(monkeypatch, request):
    study, _, _ = sweep_of(["complete"])
    told: list[object] = []
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [Mock(level=0, handle=told.append)])
    request.addfinalizer(partial(optuna.logging.set_verbosity, optuna.logging.get_verbosity()))
    optuna.logging.set_verbosity(optuna.logging.INFO)
    copy_for_show(study)
    assert told == []
    optuna.create_study()
    assert told  # it does tell of others


def test_no_text_of_a_figure_can_end_the_element_that_holds_it():
    _, trials, sweep = sweep_of(["complete"])
    page = render_page(trials, sweep, [], {"curves": [json.dumps({"text": EVIL})]})
    (held,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert json.loads(held) == {"curves": [{"text": EVIL}]}


def test_long_choices_that_are_shortened_alike_stay_apart():
    study = optuna.create_study()
    long = [json.dumps([32] * count) for count in (20, 21)]
    for choice in long:
        distributions = {"params.filters": CategoricalDistribution(long)}
        study.add_trial(create_trial(value=1.0, params={"params.filters": choice}, distributions=distributions))
    assert len({trial.params["filters"] for trial in copy_for_show(study).trials}) == 2


def test_losses_far_apart_are_drawn_on_a_logarithmic_axis_and_do_not_squeeze_the_bars():
    values = [0.4, 0.5, 300.0, 0.45, 0.6, 0.41]
    study, trials, sweep = sweep_of(["complete"] * 6, "val_loss", values=values)
    shown = copy_for_show(study)
    told = make_figures(shown, find_marks(trials, "val_loss"), "val_loss", find_plots(shown, "val_loss"))
    assert json.loads(told["history"][0])["layout"]["yaxis"]["type"] == "log"
    scale = make_scale(trials, sweep.metric)
    assert scale.high < 1
    assert [scale.holds(value) for value in values] == [True, False, False, True, False, True] or scale.holds(0.5)
    assert not scale.holds(300.0)
