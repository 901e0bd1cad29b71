"""What a training will take: memory by the network's sizes, time by a few steps on random pixels."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_config.experiment import Compute, Model, Train, Trainable
from pipeline_config.settings import Settings
from tasks.train.compiling import compile_model
from tasks.train.compute.choice import choose_policy
from tasks.train.compute.network import for_training
from tasks.train.compute.policy import Policy
from tasks.train.description import Network, describe_network, training_bytes
from tasks.train.features import is_frozen
from tasks.train.fit import stages_of
from tasks.train.freezing import set_trainable
from tasks.train.layer_graph.table import LayerRow, rows_of
from tasks.train.registry import build_model
from tasks.train.targets import random_batch

_TIMED_STEPS = 3


@dataclass(frozen=True)
class StageForecast:
    """Of one stage of a training, or of the whole where it has none.

    Attributes:
        trainable: as the stage says; None where the training has no stages.
        epochs: at most; early stopping may end it sooner.
        trainable_parameters: number of weights that it changes.
        memory_bytes: estimate, see `description.training_bytes`.
        epoch_seconds: of one epoch over all images on this machine; None where their number is not known.
        fit_seconds: of all epochs, those on kept features left out, which take next to nothing; None as well.
    """

    trainable: Trainable | None
    epochs: int
    trainable_parameters: int
    memory_bytes: int
    epoch_seconds: float | None
    fit_seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """A network as its first stage finds it, and what each stage will take."""

    network: Network
    layers: tuple[LayerRow, ...]
    stages: tuple[StageForecast, ...]

    @property
    def fit_seconds(self) -> float | None:
        """Seconds of all stages."""
        seconds = [stage.fit_seconds for stage in self.stages]
        return None if None in seconds else sum(filter(None, seconds))


def forecast(
    model: Model, input_shape: tuple[int, int, int], num_outputs: int, num_images: int | None, compute: Compute
) -> Forecast | None:
    """Build the model without download, look at it, and time a few steps of each stage, computed as in a run.

    Args:
        model: section of the experiment.
        input_shape: height, width, 3.
        num_outputs: number of classes.
        num_images: of an epoch; None where it is not known, and nothing is timed.
        compute: what of the computation is set by hand.

    Returns:
        None for a model that is no network.

    Raises:
        ConfigurationError: the model cannot be built so.
    """
    import keras

    keras.utils.clear_session()  # layers are named as in a run, not on from the model before
    built = build_model(model, input_shape, num_outputs, download=False)
    network = describe_network(built)
    if network is None:
        return None
    layers = tuple(rows_of(built))
    stages = [
        _forecast_stage(built, model, train, trainable, input_shape, num_images, compute)
        for train, trainable in zip(stages_of(model.train), _trainables(model.train), strict=True)
    ]
    return Forecast(network, layers, tuple(stages))


def _trainables(train: Train) -> list[Trainable | None]:
    return [stage.trainable for stage in train.stages] or [None]


def _forecast_stage(
    built: Any,
    model: Model,
    train: Train,
    trainable: Trainable | None,
    input_shape: tuple[int, int, int],
    num_images: int | None,
    compute: Compute,
) -> StageForecast:
    if trainable is not None:
        set_trainable(built, trainable)
    network = describe_network(built)
    assert network is not None  # it was one before
    of_epoch = of_fit = None
    if num_images is not None:
        of_stage = model.model_copy(update={"train": train})
        policy, _ = choose_policy(built, of_stage, input_shape[:2], num_images, compute, Settings().cache)
        of_image = _step_seconds(built, policy, train, input_shape) / train.batch_size
        kept_once = is_frozen(built) and not train.augmentation
        seen = num_images if kept_once else train.epochs * num_images
        of_epoch, of_fit = of_image * num_images, min(of_image * seen, train.time_budget or math.inf)
    memory = training_bytes(network, train.batch_size, train.optimizer)
    return StageForecast(trainable, train.epochs, network.trainable_parameters, memory, of_epoch, of_fit)


def _step_seconds(built: Any, policy: Policy, train: Train, input_shape: tuple[int, int, int]) -> float:
    """Median of a few training steps on random pixels."""
    built = for_training(built, policy)
    compile_model(built, train, jit=policy.jit)
    pixels = np.random.default_rng(0).integers(0, 256, (train.batch_size, *input_shape), dtype=np.uint8)
    batch = random_batch(built, pixels)
    built.train_on_batch(*batch)  # traces the graph
    seconds = []
    for _ in range(_TIMED_STEPS):
        started = time.perf_counter()
        built.train_on_batch(*batch)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))
