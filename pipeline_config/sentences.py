"""Pydantic's findings as sentences: which key, what was received, what is allowed, what was probably meant."""

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = list[int | str]


def describe_problems(
    error: ValidationError,
    schema: type[BaseModel],
    *,
    file: str = "",
    below: str = "",
    data: Any = None,
    also_allowed: Sequence[str] = (),
) -> str:
    """One sentence a problem.

    Args:
        error: what pydantic raised for `schema`.
        schema: the model that was validated, to list the allowed keys.
        file: opens every sentence.
        below: dotted key under which the validated values stand, as `dataset`.
        data: what was validated; list items that have a name are then told by it and not by their number.
        also_allowed: keys that may stand beside those of the schema, checked elsewhere.
    """
    sentences = []
    for problem in _without_echoes(error.errors()):
        location = _without_union_branch(problem)
        key = ".".join([*filter(None, [below]), *_named(location, data)])
        opening = ": ".join(filter(None, [file, key]))
        sentences.append(f"{opening}: {_complaint(problem, location, key, schema, also_allowed)}")
    return "\n".join(dict.fromkeys(sentences))


def _without_echoes(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what only follows from another problem: a list that is short of its wrong items, and the experiment's
    `train` told again for each model that takes it over."""
    told = {(problem["loc"], problem["type"]) for problem in problems}

    def is_echo(problem: ErrorDetails) -> bool:
        location = problem["loc"]
        inherited = location[:1] == ("models",) and (location[2:], problem["type"]) in told
        short = problem["type"] == "too_short" and any(
            other[: len(location)] == location for other, _ in told - {(location, "too_short")}
        )
        return inherited or short

    return [problem for problem in problems if not is_echo(problem)]


def did_you_mean(received: str, known: list[str]) -> str:
    """`; did you mean 'x'?` for the closest known word, or nothing."""
    close = difflib.get_close_matches(received, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _complaint(
    problem: ErrorDetails, location: Location, key: str, schema: type[BaseModel], also_allowed: Sequence[str]
) -> str:
    if problem["type"] == "extra_forbidden":
        known = sorted([*_schema_at(schema, location[:-1]).model_fields, *also_allowed])
        return f"unknown key; allowed here: {', '.join(known) or 'none'}{did_you_mean(str(location[-1]), known)}"
    if problem["type"] == "missing":
        in_a_list = any(isinstance(part, int) for part in location)
        return "missing; add it to the file" + ("" if in_a_list else f" or give it with --set {key}=VALUE")
    expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    received = "" if "; received " in expected else f"; received {_shown(problem['input'])}"
    return f"expected {expected}{received}"


def _named(location: Location, data: Any) -> list[str]:
    """The location's parts, a list item by its name where it has one."""
    parts = []
    for part in location:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
        is_named = isinstance(part, int) and isinstance(data, dict) and "name" in data
        parts.append(str(data["name"] if is_named else part))
    return parts


def _shown(received: Any) -> str:
    text = repr(received)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _without_union_branch(problem: ErrorDetails) -> Location:
    """Pydantic ends a location with the branch of a union that failed: noise for the reader of a YAML file.

    Where a key is missing or unknown, the last part is that key, whatever it is called. Tags, which name the branch
    that was meant, are written `<tag>`.
    """
    location = [part for part in problem["loc"] if not str(part).startswith("<")]
    while problem["type"] not in {"extra_forbidden", "missing"} and _is_union_branch(location[-1:]):
        location.pop()
    return location


def _is_union_branch(last: Location) -> bool:
    return any(isinstance(part, str) and (part in {"int", "float", "str", "bool"} or "[" in part) for part in last)


def _schema_at(schema: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model that stands at a location inside `schema`."""
    for part in location:
        if isinstance(part, str) and part in schema.model_fields:
            schema = _model_in(schema.model_fields[part].annotation) or schema
    return schema


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model inside an annotation such as `tuple[Model, ...]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)
