"""Model section of the experiment -> an unfitted model."""

from types import ModuleType
from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model
from pipeline_config.signature import checked_options
from tasks import plugins
from tasks.train import families
from tasks.train.freezing import set_trainable


def family_names() -> list[str]:
    """Every family that can be named in `models[].family`."""
    return plugins.names(families)


def checked_params(model: Model) -> tuple[ModuleType, dict[str, Any]]:
    """The family's module and the model's parameters, complete and of the right types.

    Raises:
        ConfigurationError: no such family, a parameter that it does not know or cannot take, or stages of a training
            for a family without layers to freeze.
    """
    family = plugins.find(families, model.family, f"models.{model.name}.family")
    params = checked_options(family.build, model.params, f"models.{model.name}.params")
    if model.train.stages and not getattr(family, "HAS_BACKBONE", False):
        raise ConfigurationError(
            f"models.{model.name}.train.stages: expected none, since the family {model.family} has no backbone to "
            f"freeze; received {len(model.train.stages)}; give train.epochs, or set models.{model.name}.train.stages=[]"
        )
    return family, params


def build_model(model: Model, input_shape: tuple[int, int, int], num_outputs: int, *, download: bool = True) -> Any:
    """The model, its new weights drawn from `train.seed`.

    Args:
        model: section of the experiment.
        input_shape: height, width, 3.
        num_outputs: number of classes.
        download: false draws weights at random that would have to be downloaded, for looking at the model only.

    Raises:
        ConfigurationError: the family cannot be built so, or a stage names layers that it does not have.
        Unreachable: weights cannot be fetched.
    """
    import keras

    family, params = checked_params(model)
    if not download and hasattr(family, "without_download"):
        params = family.without_download(params)
    keras.utils.set_random_seed(model.train.seed)
    network = family.build(input_shape, num_outputs, **params)
    for number, stage in reversed(list(enumerate(model.train.stages, 1))):  # leaves it as the first stage wants it
        set_trainable(network, stage.trainable, f"models.{model.name}.train.stages: stage {number}: trainable")
    return network


def count_parameters(model: Any) -> int:
    """Number of weights of a Keras model; of coefficients and intercepts of a fitted linear pipeline."""
    if hasattr(model, "count_params"):
        return int(model.count_params())
    machine = model[-1].calibrated_classifiers_[0].estimator
    return int(machine.coef_.size + machine.intercept_.size)
