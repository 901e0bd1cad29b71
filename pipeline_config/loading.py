"""Experiment file and `--set` overrides -> Experiment."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Experiment
from pipeline_config.sentences import describe_problems, did_you_mean

SHIPPED = Path(__file__).parent / "experiments"


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML without code, and without a key that silently replaces an earlier one."""


def _construct_unique(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
        raise yaml.constructor.ConstructorError(None, None, "a key that is no plain word", node.start_mark)
    keys = [key.value for key, _ in node.value]
    repeated = {key for key in keys if keys.count(key) > 1}
    if repeated:
        raise yaml.constructor.ConstructorError(None, None, f"key given twice: {', '.join(repeated)}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_unique)


def shipped_experiments() -> list[str]:
    """Names of the experiments that come with Darkroom."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_experiment(experiment: str, overrides: list[str] | None = None) -> Experiment:
    """Read, override and validate an experiment.

    Args:
        experiment: a shipped experiment's name, or the path of a YAML file.
        overrides: `dotted.key=value`, the value as YAML; applied in order. `models.NAME.…` addresses a model by name,
            `models=[NAME, …]` leaves these models of the file.

    Raises:
        ConfigurationError: no such file, no YAML, an unknown key, a wrong value.
    """
    path = find_experiment_file(experiment)
    data = _read_yaml(path)
    for override in overrides or []:
        _apply(data, override)
    try:
        return Experiment.model_validate(data)
    except ValidationError as error:
        where = " ".join([str(path), *(f"--set {override}" for override in overrides or [])])
        raise ConfigurationError(describe_problems(error, Experiment, file=where, data=data)) from None


def find_experiment_file(experiment: str) -> Path:
    """The YAML file of a shipped name or a path.

    Raises:
        ConfigurationError: neither exists.
    """
    shipped = SHIPPED / f"{experiment}.yaml"
    path = shipped if shipped.is_file() else Path(experiment)
    if path.is_file():
        return path
    known = shipped_experiments()
    raise ConfigurationError(
        f"{experiment}: no such experiment file; expected a path to a YAML file or one of "
        f"{', '.join(known)}{did_you_mean(experiment, known)}"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: expected keys such as name, dataset, models; received {type(data).__name__}")
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one dotted key in place."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigurationError(f"--set {override}: expected dotted.key=value, as --set train.epochs=3")
    try:
        value = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError:
        raise ConfigurationError(f"--set {override}: the value is not YAML; quote it") from None
    *parents, last = key.split(".")
    target: Any = data
    for parent in parents:
        target = _step_into(target, parent, override)
    if not isinstance(target, dict):
        raise ConfigurationError(f"--set {override}: {'.'.join(parents)} holds no keys")
    if key == "models" and isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = [_step_into(data.get("models"), name, override) for name in value]
    target[last] = value


def _step_into(target: Any, key: str, override: str) -> Any:
    """The value under `key`: of a mapping (made if absent), or of the list item with that name."""
    if isinstance(target, dict):
        if target.get(key) is None:
            target[key] = {}
        return target[key]
    if isinstance(target, list):
        named = {item.get("name"): item for item in target if isinstance(item, dict)}
        if key in named:
            return named[key]
        known = [str(name) for name in named]
        raise ConfigurationError(f"--set {override}: no model '{key}'; there are {', '.join(known)}")
    raise ConfigurationError(f"--set {override}: '{key}' is below a plain value; nothing can stand there")
