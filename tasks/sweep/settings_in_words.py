"""Settings and figures of trials as people read them: short names, values as in an experiment file, lists in words."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.records import Trial

UNKNOWN = "–"
_MOST_VALUES = 6  # of numbers that a sentence lists one by one


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Dotted key -> its last part, or as many of its last parts as tell it from the others: `dropout`, `learning_rate`.

    In the order of the keys.
    """
    keys = list(dict.fromkeys(keys))
    return {key: _shortest(key, [other for other in keys if other != key]) for key in keys}


def _shortest(key: str, others: Sequence[str]) -> str:
    parts = key.split(".")
    endings = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
    return next((end for end in endings if not any(f".{other}".endswith(f".{end}") for other in others)), key)


def tell_setting(value: Any) -> str:
    """`0.001`, `adam`, `[64, 64, 64]`, `true`: as it would stand in an experiment file."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return json.dumps(value, default=str, ensure_ascii=False)


def tell_settings(params: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`learning_rate 0.001, dropout 0.4`."""
    return ", ".join(f"{names[key]} {tell_setting(params[key])}" for key in names if key in params)


def tell_values(values: Sequence[Any]) -> str:
    """`0.2, 0.3 and 0.4`; of many numbers the least and the greatest."""
    if len(values) > _MOST_VALUES and all(_is_number(value) for value in values):
        return f"{tell_setting(min(values))} to {tell_setting(max(values))}"
    return join([tell_setting(value) for value in values])


def join(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def distinct(trials: Iterable[Trial], key: str) -> list[Any]:
    """The values that a setting takes in the trials, numbers in their order, others in that of the trials."""
    values = {tell_setting(trial.params[key]): trial.params[key] for trial in trials if key in trial.params}
    found = list(values.values())
    return sorted(found) if all(_is_number(value) for value in found) else found


def tell_value(value: float | None) -> str:
    """A metric with three digits: `0.912`, `2.34`, `0.00123`."""
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if 0.1 <= abs(value) < 10 or value == 0 else f"{value:.3g}"


def tell_duration(seconds: float) -> str:
    """`4.52 s`, `12 min`, `3.5 h`: exact enough to tell a tenth."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5900 else f"{seconds / 3600:.1f} h"


def count(number: int, noun: str) -> str:
    """`1 trial`, `8 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
