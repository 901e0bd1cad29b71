"""Modules found by their file's name: a source or a family is registered by being there."""

import importlib
import pkgutil
from types import ModuleType

from pipeline_config.errors import ConfigurationError
from pipeline_config.sentences import did_you_mean


def names(package: ModuleType) -> list[str]:
    """Names of the modules in a package, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find(package: ModuleType, name: str, key: str) -> ModuleType:
    """The module of that name.

    Args:
        package: where it is looked for.
        name: as the experiment file gives it.
        key: where the file gives it, for the message.

    Raises:
        ConfigurationError: there is none; lists the known ones.
    """
    known = names(package)
    if name not in known:
        raise ConfigurationError(
            f"{key}: expected one of {', '.join(known)}; received '{name}'{did_you_mean(name, known)}"
        )
    return importlib.import_module(f"{package.__name__}.{name}")
