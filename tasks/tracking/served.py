"""A model in MLflow by any of its names, ready to answer."""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline_config.errors import ConfigurationError, DarkroomError
from pipeline_config.settings import Settings
from tasks.tracking.models import fetch_model, load_model
from tasks.tracking.store import client
from tasks.tracking.trained import find_trained

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_CHAMPION = "champion"


@dataclass(frozen=True)
class ServedModel:
    """A model with what it takes to use it.

    Attributes:
        uri: in MLflow, of one version where it is registered.
        model: Keras model or scikit-learn pipeline, which takes raw pixels.
        class_names: in label order.
        image_size: height and width that images are resized to.
    """

    uri: str
    model: Any
    class_names: tuple[str, ...]
    image_size: tuple[int, int]


def find_model(model: str | None, experiment: str | None) -> str:
    """The URI of a model that somebody has named.

    Args:
        model: URI or path of a model, `NAME@ALIAS`, an alias, or the id of a train run; None for the champion.
        experiment: that the alias belongs to; None for the only one whose registered model has that alias.

    Raises:
        ConfigurationError: there is no such model, or there are several.
        DarkroomError: a run holds no model.
    """
    if model and _RUN_ID.fullmatch(model):
        return find_trained(model)[0].model_uri
    if model and _is_fixed(model):
        return model
    name, _, alias = (model or _CHAMPION).removeprefix("models:/").rpartition("@")
    return _find_version(name or experiment or _only_with(alias), alias)


def find_alias(model: str | None, experiment: str | None) -> str | None:
    """What of a model that somebody has named may point at another version later: `NAME@ALIAS`; else None.

    Args:
        model, experiment: as of `find_model`, which takes the answer for a model again.

    Raises:
        ConfigurationError: there is no such model, or there are several.
    """
    if model and (_RUN_ID.fullmatch(model) or _is_fixed(model)):
        return None
    name, _, alias = (model or _CHAMPION).removeprefix("models:/").rpartition("@")
    return f"{name or experiment or _only_with(alias)}@{alias}"


def _is_fixed(model: str) -> bool:
    """Whether it is a path, or a URI without an alias."""
    return "@" not in model if model.startswith("models:/") else "/" in model


def _find_version(name: str, alias: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return f"models:/{name}/{client().get_model_version_by_alias(name, alias).version}"
    except MlflowException:
        known = sorted(f"{found}@{one}" for one, names in _aliases().items() for found in names)
        raise ConfigurationError(
            f"expected a registered model with an alias; received {name}@{alias}; there "
            + (f"are {', '.join(known)}" if known else f"is none in {Settings().tracking_uri}")
            + "; `darkroom promote RUN_ID` proposes a model to the registry, --model takes a run's id too"
        ) from None


def _only_with(alias: str) -> str:
    """Name of the registered model that has the alias."""
    names = sorted(_aliases().get(alias, []))
    if len(names) == 1:
        return names[0]
    received = f"models of {len(names)} experiments with it: {', '.join(names)}" if names else "none with it"
    raise ConfigurationError(
        f"expected one registered model with the alias {alias}; there are {received}, in {Settings().tracking_uri}; "
        + ("give --experiment NAME" if names else "`darkroom run EXPERIMENT` makes one, --model takes a run's id too")
    )


def _aliases() -> dict[str, list[str]]:
    """Names of the registered models by alias."""
    found: dict[str, list[str]] = {}
    token = None
    while token != "":
        page = client().search_registered_models(page_token=token)
        for registered in page:
            for alias in registered.aliases:
                found.setdefault(alias, []).append(registered.name)
        token = page.token or ""
    return found


def open_model(uri: str) -> ServedModel:
    """The model of a URI, loaded without running code that it might carry.

    Raises:
        ConfigurationError: there is no such model, or it is none of Darkroom's.
        DarkroomError: its files hold something that is not safe to load, or are broken.
    """
    from mlflow.exceptions import MlflowException

    Settings().cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        try:
            folder = fetch_model(uri, Path(temporary))
        except (MlflowException, OSError) as error:
            raise ConfigurationError(
                f"expected a model of {Settings().tracking_uri}; {uri} cannot be read: {error}; `darkroom ui` shows "
                "the models"
            ) from None
        return open_folder(uri, folder)


def open_folder(uri: str, folder: Path) -> ServedModel:
    """As `open_model`, of files that are there.

    Raises:
        ConfigurationError: they are no model of Darkroom's.
        DarkroomError: they hold something that is not safe to load, or are broken.
    """
    class_names, image_size = _read_metadata(uri, folder)
    return ServedModel(uri, _load(uri, folder), class_names, image_size)


def _read_metadata(uri: str, folder: Path) -> tuple[tuple[str, ...], tuple[int, int]]:
    from mlflow.models import Model

    try:
        metadata = Model.load(str(folder)).metadata or {}
        height, width = metadata["image_size"]
        return tuple(metadata["class_names"]), (height, width)
    except Exception:  # whatever else lies there
        raise ConfigurationError(
            f"{uri}: expected a model that darkroom logged, with its class names and image size; received none; models "
            "of earlier versions lack them: train it again"
        ) from None


def _load(uri: str, folder: Path) -> Any:
    try:
        return load_model(folder)
    except DarkroomError:
        raise
    except Exception as error:  # zip, JSON, HDF5 or Keras, each with errors of its own
        raise DarkroomError(f"{uri}: its files cannot be loaded: {' '.join(str(error).split())}") from None
