"""A study as the plots show it: a copy in memory with short names and legible values, which never changes the study."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.sweep.settings_in_words import short_names, tell_setting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_LONGEST = 22  # characters of a value beside an axis


def copy_for_show(study: "Study") -> "Study":
    """All trials under their numbers, those that run or wait, or whose value is infinite, as failed.

    Keys are shortened to what tells them apart. Choices are numbers in their order where all are, else texts, the long
    ones shortened about an ellipsis.
    """
    import optuna

    trials = study.get_trials(deepcopy=False)
    names = short_names(key for trial in trials for key in trial.params)
    choices = _read_choices(trials)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study that it makes
    try:
        shown = optuna.create_study(direction=study.direction)
    finally:
        optuna.logging.set_verbosity(level)
    shown.add_trials([_copy(trial, names, choices) for trial in trials])
    return shown


def varied_names(study: "Study") -> list[str]:
    """Settings that take more than one value among the complete trials, in their order."""
    from optuna.trial import TrialState

    values: dict[str, set[str]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(repr(value))
    return [name for name, found in values.items() if len(found) > 1]


def _copy(trial: "FrozenTrial", names: dict[str, str], choices: dict[str, dict[str, Any]]) -> "FrozenTrial":
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState, create_trial

    ended = trial.state.is_finished() and all(math.isfinite(value) for value in trial.values or ())
    state = trial.state if ended else TrialState.FAIL
    params, distributions = {}, {}
    for key, value in trial.params.items():
        distribution: BaseDistribution = trial.distributions[key]
        if key in choices:
            value, distribution = choices[key][repr(value)], CategoricalDistribution(tuple(choices[key].values()))
        params[names[key]], distributions[names[key]] = value, distribution
    return create_trial(
        state=state,
        value=trial.value if state == TrialState.COMPLETE else None,
        params=params,
        distributions=distributions,
        intermediate_values=trial.intermediate_values,
    )


def _read_choices(trials: "Sequence[FrozenTrial]") -> dict[str, dict[str, Any]]:
    """Of each setting with choices: the choice, as text -> what is shown for it, in the order of the axis."""
    from optuna.distributions import CategoricalDistribution

    found: dict[str, list[Any]] = {}
    for trial in trials:
        for key, distribution in trial.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                found.setdefault(key, []).extend(distribution.choices)
    return {key: _show_choices(list({repr(one): one for one in choices}.values())) for key, choices in found.items()}


def _show_choices(choices: list[Any]) -> dict[str, Any]:
    """Choice, as text -> number or text to show; unlike ones stay unlike."""
    if all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
        ordered = sorted(choices)
        rounded = [float(f"{choice:.4g}") if isinstance(choice, float) else choice for choice in ordered]
        return dict(zip(map(repr, ordered), rounded if len(set(rounded)) == len(rounded) else ordered, strict=True))
    texts: list[str] = []
    for choice in choices:
        short = _shorten(tell_setting(choice))
        texts.append(f"{short} ({len(texts) + 1})" if short in texts else short)
    return dict(zip(map(repr, choices), texts, strict=True))


def _shorten(text: str) -> str:
    """The text, or its ends about an ellipsis where it is long."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half].rstrip()}…{text[1 - half :].lstrip()}"
