"""The space of a sweep: as Optuna's distributions, as a grid, and its values as a model's section."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Experiment, Model
from pipeline_config.sentences import describe_problems
from pipeline_config.sweep import Range, Sweep

_SECTIONS = ("params.", "train.")
_MAX_CHECKED = 1_000  # combinations; of a larger space every value is checked, each with the first ones of the others

Values = Mapping[str, Any]
"""Dotted key below the model, as `train.learning_rate` -> value."""


def distributions(sweep: Sweep) -> dict[str, Any]:
    """Dotted key -> Optuna's distribution."""
    return {key: _distribution(values) for key, values in sweep.space.items()}


def _distribution(values: Sequence[Any] | Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution([_as_choice(value) for value in values])
    high = values.high if values.step is None else _all_of(values)[-1]  # Optuna warns of one that no step ends at
    if values.is_whole:
        return IntDistribution(int(values.low), int(high), log=values.log, step=int(values.step or 1))
    return FloatDistribution(values.low, high, log=values.log, step=values.step)


def _as_choice(value: Any) -> Any:
    """Optuna keeps plain values alone; a list is kept as its JSON text."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def decode(sweep: Sweep, params: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna keeps of a trial's values -> the values, in the order of the space."""
    return {key: _decoded(values, params[key]) for key, values in sweep.space.items() if key in params}


def _decoded(values: Sequence[Any] | Range, kept: Any) -> Any:
    if isinstance(values, Range):
        return kept
    return next((value for value in values if _as_choice(value) == kept), kept)


def grid(sweep: Sweep) -> list[dict[str, Any]]:
    """Every combination of the choices and of the steps of ranges, as Optuna keeps them, in the order of the space."""
    columns = [_all_of(values) for values in sweep.space.values()]
    return [dict(zip(sweep.space, row, strict=True)) for row in itertools.product(*columns)]


def _all_of(values: Sequence[Any] | Range) -> list[Any]:
    if not isinstance(values, Range):
        return [_as_choice(value) for value in values]
    low, high, step = (Decimal(str(number)) for number in (values.low, values.high, values.step or 1))
    kind = int if values.is_whole else float  # decimals, since three steps of 0.1 are more than 0.3 in binary ones
    return [kind(low + number * step) for number in range(int((high - low) / step) + 1)]


def number_of_trials(sweep: Sweep) -> int:
    """As many as asked for; of a grid no more than it has."""
    of_grid = math.prod(len(_all_of(values)) for values in sweep.space.values()) if sweep.sampler == "grid" else None
    return min(number for number in (sweep.trials, of_grid) if number is not None)


def trial_model(experiment: Experiment, values: Values) -> Model:
    """The model that a trial trains: the sweep's, with the values and with the epochs of a trial.

    Raises:
        ConfigurationError: a key or a value is none that the section of a model has.
    """
    assert experiment.sweep is not None
    epochs = {} if experiment.sweep.epochs is None else {"train.epochs": experiment.sweep.epochs}
    return with_values(experiment.model(experiment.sweep.model), {**epochs, **values})


def with_values(model: Model, values: Values) -> Model:
    """The model's section with other values.

    Raises:
        ConfigurationError: a key or a value is none that the section of a model has.
    """
    data = model.model_dump()
    for key, value in values.items():
        if not key.startswith(_SECTIONS):
            raise ConfigurationError(
                f"sweep.space.{key}: expected a key below params or train, as params.dropout or train.learning_rate"
            )
        _set(data, key, value)
    try:
        return Model.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(describe_problems(error, Model, below="sweep.space", data=data)) from None


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        below = data.get(parent)
        data[parent] = {} if below is None else below
        if not isinstance(data[parent], dict):
            raise ConfigurationError(f"sweep.space.{key}: '{parent}' is a plain value; nothing can stand below it")
        data = data[parent]
    data[last] = value


def models_to_check(experiment: Experiment) -> Iterator[tuple[Values, Model]]:
    """Every combination of the space, of a range its ends; of a large space every value at least once.

    Raises:
        ConfigurationError: as `trial_model`.
    """
    assert experiment.sweep is not None
    ends = {
        key: [values.low, values.high] if isinstance(values, Range) else list(values)
        for key, values in experiment.sweep.space.items()
    }
    rows = itertools.islice(itertools.product(*ends.values()), _MAX_CHECKED + 1)
    combinations = [dict(zip(ends, row, strict=True)) for row in rows]
    if len(combinations) > _MAX_CHECKED:
        first = {key: values[0] for key, values in ends.items()}
        combinations = [{**first, key: value} for key, values in ends.items() for value in values]
    for values in combinations:
        yield values, trial_model(experiment, values)
