"""Model section of the experiment -> an unfitted model."""

from types import ModuleType
from typing import Any

from pipeline_config.experiment import Model
from pipeline_config.signature import checked_options
from tasks import plugins
from tasks.train import families


def family_names() -> list[str]:
    """Every family that can be named in `models[].family`."""
    return plugins.names(families)


def checked_params(model: Model) -> tuple[ModuleType, dict[str, Any]]:
    """The family's module and the model's parameters, complete and of the right types.

    Raises:
        ConfigurationError: no such family, or a parameter that it does not know or cannot take.
    """
    family = plugins.find(families, model.family, f"models.{model.name}.family")
    return family, checked_options(family.build, model.params, f"models.{model.name}.params")


def build_model(model: Model, input_shape: tuple[int, int, int], num_outputs: int) -> Any:
    """The model, its weights drawn from `train.seed`."""
    import keras

    family, params = checked_params(model)
    keras.utils.set_random_seed(model.train.seed)
    return family.build(input_shape, num_outputs, **params)


def count_parameters(model: Any) -> int:
    """Number of weights of a Keras model; of coefficients and intercepts of a fitted linear pipeline."""
    if hasattr(model, "count_params"):
        return int(model.count_params())
    machine = model[-1].calibrated_classifiers_[0].estimator
    return int(machine.coef_.size + machine.intercept_.size)
