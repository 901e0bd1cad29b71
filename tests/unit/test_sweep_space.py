"""The space of a sweep: every combination once, each value as the file has it; nothing else of the model changes."""

import math
import warnings
from itertools import islice

import hypothesis
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.start import load_checked
from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Experiment, Model
from pipeline_config.loading import load_experiment, shipped_experiments
from pipeline_config.sweep import Sweep
from tasks.sweep.space import decode, distributions, grid, models_to_check, number_of_trials, trial_model, with_values

KEYS = ["train.learning_rate", "train.batch_size", "params.dropout", "params.filters", "params.deep.er"]

plain = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text("ab[]1, ", max_size=4))


def unlike(values):
    """Whether Python, and so Optuna, tells all of them apart, as it does not 1 and true."""
    return all(values.count(value) == 1 for value in values)


choices = st.lists(plain | st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=4).filter(unlike)


@st.composite
def stepped(draw):
    """A range with a step, as people write them: with a few decimals."""
    decimals = draw(st.integers(0, 3))
    low, step, steps = draw(st.integers(0, 50)), draw(st.integers(1, 20)), draw(st.integers(0, 7))
    numbers = {"low": low, "high": low + steps * step + draw(st.integers(1 if steps == 0 else 0, 3)), "step": step}
    return numbers if decimals == 0 else {key: number / 10**decimals for key, number in numbers.items()}


spaces = st.dictionaries(st.sampled_from(KEYS), choices | stepped(), min_size=1, max_size=3)


def values_of(section):
    """The values of one key, as its section says."""
    if isinstance(section, list):
        return section
    count = math.floor((section["high"] - section["low"]) / section["step"] + 1e-6) + 1
    return [pytest.approx(section["low"] + number * section["step"]) for number in range(count)]


@given(spaces)
def test_the_grid_has_every_combination_once(space):
    sweep = Sweep(model="cnn", space=space)
    rows = grid(sweep)
    assert len(rows) == math.prod(len(values_of(section)) for section in space.values()) == number_of_trials(sweep)
    assert len({tuple(map(repr, row.values())) for row in rows}) == len(rows)


@hypothesis.settings(max_examples=50)
@given(spaces)
def test_every_row_of_the_grid_decodes_to_values_of_the_space_of_their_types(space):
    sweep = Sweep(model="cnn", space=space)
    for row in grid(sweep):
        values = decode(sweep, row)
        assert list(values) == list(space)
        for key, value in values.items():
            assert value in values_of(space[key])
            if isinstance(space[key], list):
                assert type(value) in {type(choice) for choice in space[key]}
            else:
                assert space[key]["low"] <= value <= space[key]["high"]


@hypothesis.settings(max_examples=50)
@given(space=spaces)
def test_optuna_takes_and_keeps_every_row_without_a_warning(space):
    sweep = Sweep(model="cnn", space=space)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = optuna.create_study()
        for row in islice(grid(sweep), 20):
            study.enqueue_trial(row)
            assert decode(sweep, study.ask(distributions(sweep)).params) == decode(sweep, row)


@given(space=spaces, seed=st.integers(0, 9))
def test_what_is_drawn_is_of_the_space_too(space, seed):
    sweep = Sweep(model="cnn", space=space, sampler="random", trials=1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for key, value in decode(sweep, study.ask(distributions(sweep)).params).items():
        assert value in values_of(space[key])


def test_a_step_of_a_tenth_ends_at_the_decimal_that_the_file_has():
    sweep = Sweep(model="cnn", space={"params.dropout": {"low": 0.1, "high": 0.3, "step": 0.1}})
    assert [row["params.dropout"] for row in grid(sweep)] == [0.1, 0.2, 0.3]


# The values in the model's section.


@pytest.fixture(scope="module")
def shipped():
    """Every model of the shipped experiments."""
    return [model for name in shipped_experiments() for model in load_experiment(name).models]


SECTION = {
    "name": "cnn",
    "family": "cnn_plain",
    "params": {"filters": [4, 8], "dense_units": [8], "deep": {"er": 1, "est": [1]}},
    "train": {"epochs": 3, "augmentation": {"rotation": 10, "horizontal_flip": True}},
}


def test_no_value_changes_nothing_of_any_shipped_model(shipped):
    assert len(shipped) > 20
    for model in shipped:
        assert with_values(model, {}) == model


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "params.filters": st.lists(st.integers(1, 9), max_size=3),
            "params.dropout": st.floats(0, 1),
            "params.deep.er": st.integers(),
            "train.learning_rate": st.floats(1e-6, 1),
            "train.batch_size": st.integers(1, 512),
            "train.augmentation.rotation": st.floats(0, 45),
        },
    )
)
def test_only_what_is_named_changes(values):
    model = Model.model_validate(SECTION)
    before = model.model_dump()
    changed = with_values(model, values).model_dump()
    assert model.model_dump() == before
    for key, value in values.items():
        *parents, last = key.split(".")
        section, other = changed, before
        for parent in parents:
            section, other = section[parent], other[parent]
        assert section.pop(last) == value
        other.pop(last, None)
    assert changed == before


def test_a_trial_has_the_epochs_of_trials_and_the_winner_those_of_the_model():
    experiment = make_experiment({"train.batch_size": [8, 16]}, epochs=2)
    assert trial_model(experiment, {"train.batch_size": 8}).train.epochs == 2
    assert with_values(experiment.models[0], {"train.batch_size": 8}).train.epochs == 5


def test_epochs_of_the_space_win_over_those_of_trials():
    experiment = make_experiment({"train.epochs": [3, 4]}, epochs=2)
    assert trial_model(experiment, {"train.epochs": 3}).train.epochs == 3


# What is wrong with a space, before any data are read.


def make_experiment(space, **sweep):
    return Experiment.model_validate(
        {
            "name": "e",
            "dataset": {"source": "folder", "path": "nowhere"},
            "models": [{"name": "cnn", "family": "cnn_plain"}],
            "train": {"epochs": 5},
            "sweep": {"model": "cnn", "space": space, **sweep},
        }
    )


def test_of_a_large_space_every_value_is_checked_though_not_every_combination():
    space = {f"params.p{number}": list(range(20)) for number in range(4)}
    checked = [values for values, _ in models_to_check(make_experiment(space))]
    assert len(checked) == 80
    assert {(key, value) for values in checked for key, value in values.items()} == {
        (key, value) for key, values in space.items() for value in values
    }


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("space={train.learning_rat: [0.1, 0.01]}", ["sweep.space.train.learning_rat", "learning_rate"]),
        ("space={train.learning_rate: [0.1, fast]}", ["sweep.space.train.learning_rate", "fast"]),
        ("space={train.batch_size: [0]}", ["sweep.space.train.batch_size", "0"]),
        ("space={train.batch_size: {low: 1.5, high: 9.5, step: 1}}", ["sweep.space.train.batch_size", "1.5"]),
        ("space={params.dropuot: [0.1]}", ["sweep.space", "dropuot", "dropout"]),
        ("space={params.dropout: [0.2, high]}", ["sweep.space", "params.dropout", "high"]),
        ("space={params.dense_units.first: [4]}", ["sweep.space.params.dense_units.first"]),
        ("space={dataset.image_size: [16, 32]}", ["sweep.space.dataset.image_size", "below params or train"]),
        ("space={family: [linear_svm]}", ["sweep.space.family", "below params or train"]),
        ("space={split.seed: [1, 2]}", ["sweep.space.split.seed", "below params or train"]),
        ("space={}", ["sweep.space"]),
        ("space={train.batch_size: 8}", ["sweep.space.train.batch_size", "choices, as [0.2, 0.5]"]),
        ("space={train.batch_size: []}", ["sweep.space.train.batch_size"]),
        ("space={train.batch_size: [8, 8]}", ["sweep.space.train.batch_size", "every choice once"]),
        ("space={train.learning_rate: {low: 0.1, high: 0.01}}", ["sweep.space.train.learning_rate", "low below high"]),
        ("space={train.learning_rate: {low: 0, high: 1, log: true}}", ["sweep.space.train.learning_rate", "above 0"]),
        ("space={train.learning_rate: {low: 0.1, high: 1}}", ["train.learning_rate has neither", "sampler"]),
        ("model=cnnn", ["sweep.model", "cnnn", "cnn"]),
        ("sampler=random", ["sampler: random", "sweep.trials"]),
        ("direction=minimize", ["maximize", "val_accuracy"]),
        ("winner=continue", ["sweep.epochs", "continue"]),
        ("timeout=soon", ["sweep.timeout", "90s"]),
        ("colour=red", ["sweep.colour"]),
    ],
)
def test_what_is_wrong_with_a_sweep_is_told_before_any_data_are_read(tmp_path, setting, told):
    path = tmp_path / "e.yaml"
    path.write_text(
        "name: e\ndataset: {source: folder, path: nowhere}\ntrain: {epochs: 5}\n"
        "models: [{name: cnn, family: cnn_plain, params: {dense_units: [8]}}]\n"
        "sweep: {model: cnn, space: {train.batch_size: [8, 16]}}\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        load_checked(str(path), [f"sweep.{setting}"], sweep_only=True)
    sentence = str(raised.value)
    assert [part for part in told if part not in sentence] == []
    assert raised.value.exit_code == 2
    assert "\n" not in sentence
