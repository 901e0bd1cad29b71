"""A function's keyword-only parameters as a configuration schema.

A data source and a model family are each one file with one function; its signature names the options, their types
and their defaults, so nothing is written twice.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from pipeline_config.errors import ConfigurationError
from pipeline_config.sentences import describe_problems


def options_model(function: Callable[..., Any]) -> type[BaseModel]:
    """A pydantic model of the function's keyword-only parameters; unknown keys are errors."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid", validate_default=True), **fields)


def checked_options(function: Callable[..., Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values with their types checked and the function's defaults filled in.

    Args:
        function: its keyword-only parameters are the schema.
        values: what the experiment file says.
        where: the key under which they stand there, for the message, as `dataset` or `models.cnn.params`.

    Raises:
        ConfigurationError: an unknown name, a missing or a wrong value; names the allowed ones.
    """
    schema = options_model(function)
    try:
        checked = schema.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigurationError(describe_problems(error, schema, below=where)) from None
    return {name: getattr(checked, name) for name in schema.model_fields}
