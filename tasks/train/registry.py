"""Model section of the experiment -> an unfitted model."""

from types import ModuleType
from typing import Any

import numpy as np

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model
from pipeline_config.signature import checked_options
from tasks import plugins
from tasks.input_pipeline import ImageSet
from tasks.train import families
from tasks.train.freezing import set_trainable

_SAMPLE = 5_000  # images that a family may adapt to


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
    if model.train.stages and not has_backbone(model):
        raise ConfigurationError(
            f"models.{model.name}.train.stages: expected none, since the family {model.family} has no backbone to "
            f"freeze; received {len(model.train.stages)}; give train.epochs, or set models.{model.name}.train.stages=[]"
        )
    if hasattr(family, "check_train"):
        family.check_train(params, model.train, f"models.{model.name}.train")
    return family, params


def has_backbone(model: Model) -> bool:
    """Whether the family has layers that can be frozen."""
    family = plugins.find(families, model.family, f"models.{model.name}.family")
    return getattr(family, "HAS_BACKBONE", False)


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
    _check_classes(model, params, num_outputs)
    if not download and hasattr(family, "without_download"):
        params = family.without_download(params)
    keras.utils.set_random_seed(model.train.seed)
    network = family.build(input_shape, num_outputs, **params)
    for number, stage in reversed(list(enumerate(model.train.stages, 1))):  # leaves it as the first stage wants it
        set_trainable(network, stage.trainable, f"models.{model.name}.train.stages: stage {number}: trainable")
    return network


def adapt_model(model: Model, network: Any, images: ImageSet) -> None:
    """Set what a family derives from training images before the fit, as a whitening; for most families nothing.

    Args:
        model: section of the experiment.
        network: built, and not fitted yet.
        images: a sample of the training rows is used, drawn by the seed.
    """
    family, _ = checked_params(model)
    if hasattr(family, "adapt"):
        positions = images.positions("train")
        sample = np.random.default_rng(model.train.seed).permutation(positions)[:_SAMPLE]
        family.adapt(network, images.read(sample))


def _check_classes(model: Model, params: dict[str, Any], num_outputs: int) -> None:
    """A softmax over one class is 1 for every image: such a model would seem perfect and have learned nothing."""
    if num_outputs < 2 and "class" in params.get("heads", ("class",)):
        raise ConfigurationError(
            f"models.{model.name}: expected at least two classes to tell from each other; received {num_outputs}; "
            "give a data set with more, or, where its images have boxes, take the family class_and_box with "
            "params.heads=[box]"
        )


def cost_warning(model: Model, images: int, input_shape: tuple[int, int, int], num_outputs: int) -> str | None:
    """A sentence on what fitting will cost, where the family knows beforehand that it is much.

    Args:
        model: section of the experiment.
        images: to train with.
        input_shape: height, width, 3.
        num_outputs: number of classes.

    Raises:
        ConfigurationError: the parameters are wrong, or do not go with so many images.
    """
    family, params = checked_params(model)
    if not hasattr(family, "cost_warning"):
        return None
    warning = family.cost_warning(images, input_shape, num_outputs, **params)
    return f"models.{model.name}: {warning}" if warning else None


def count_parameters(model: Any) -> int:
    """Number of weights of a Keras model; of coefficients, intercepts and PCA weights of a fitted linear pipeline."""
    if hasattr(model, "count_params"):
        return int(model.count_params())
    machine = model[-1].calibrated_classifiers_[0].estimator
    reduction = sum(step.components_.size for step in model if hasattr(step, "components_"))
    return int(machine.coef_.size + machine.intercept_.size + reduction)
