"""A network in figures: its layers, its parameters, the memory that it takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_config.experiment import Train
from tasks.train.layer_graph.calls import LayerCall, calls_of, layers_of
from tasks.train.optimizers import make_optimizer

_FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Network:
    """What can be told of a network before it is trained.

    Attributes:
        layers: convolutions and dense layers, as the field counts the depth of a network; with all of a backbone's, so
            also the convolutions of shortcuts, which the 50 of ResNet-50 leave out.
        dense_layers: those of them that are dense, the last one included.
        parameters: all weights, moving averages of batch normalisation included.
        trainable_parameters: those that a training changes, as the layers are frozen now.
        batch_normalization: whether there is any, also in a backbone.
        dropout: shares above 0, in order; without a backbone's own, which is off.
        weights_bytes: of all weights in float32.
        activation_bytes: of one image in a training step, in float32; see `activation_bytes`.
    """

    layers: int
    dense_layers: int
    parameters: int
    trainable_parameters: int
    batch_normalization: bool
    dropout: tuple[float, ...]
    weights_bytes: int
    activation_bytes: int


def describe_network(model: Any) -> Network | None:
    """The figures of a Keras model as it is frozen now; None for another model, whose size only its fit decides.

    Raises:
        ValueError: a Keras model whose graph is not known, see `calls_of`.
    """
    if not hasattr(model, "count_params"):
        return None
    layers = list(layers_of(model))
    kinds = [type(layer).__name__ for layer in layers]
    return Network(
        layers=sum(map(has_kernel, layers)),
        dense_layers=kinds.count("Dense"),
        parameters=int(model.count_params()),
        trainable_parameters=sum(math.prod(weight.shape) for weight in model.trainable_weights),
        batch_normalization="BatchNormalization" in kinds,
        dropout=tuple(float(layer.rate) for layer in model.layers if getattr(layer, "rate", 0)),
        weights_bytes=int(model.count_params()) * _FLOAT32,
        activation_bytes=activation_bytes(calls_of(model, unfold=True)),
    )


def has_kernel(layer: Any) -> bool:
    """Whether a layer is a convolution, of any kind, or a dense one."""
    return hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")


def training_bytes(network: Network, batch_size: int, optimizer: str) -> int:
    """Memory of a training step: weights, their gradients and the optimizer's own copies, and a batch's activations.

    What libraries, the images and the working memory of single operations take comes on top.

    Args:
        network: as it is frozen in that training.
        batch_size: images of a step.
        optimizer: its name, as in `train.optimizer`.
    """
    of_weights = network.trainable_parameters * (1 + _copies(optimizer)) * _FLOAT32
    return network.weights_bytes + of_weights + batch_size * network.activation_bytes


def _copies(name: str) -> int:
    """Values that an optimizer keeps for each weight: 2 for Adam, its two moments."""
    import keras

    optimizer = make_optimizer(Train.model_validate({"optimizer": name}))
    without = len(optimizer.variables)
    optimizer.build([keras.Variable([0.0])])
    return len(optimizer.variables) - without


def activation_bytes(calls: Sequence[LayerCall]) -> int:
    """Bytes of layers' outputs, of one image in float32, that a training step holds at once.

    Kept until the backward pass are the outputs of everything that is trained or comes after it, and what a trained
    layer takes in. On top come two of the largest output: what a frozen layer takes in and gives out, or the gradients
    with respect to both. An output of open size, as the input's, counts nothing; nor does a mere change of shape.
    """
    sizes = [0 if _is_view(call) else math.prod(side or 0 for side in call.output_shape) for call in calls]
    kept = sum(size for size, stays in zip(sizes, _kept(calls), strict=True) if stays)
    return _FLOAT32 * (kept + 2 * max(sizes))


def _kept(calls: Sequence[LayerCall]) -> list[bool]:
    """Of each call whether its output is needed in the backward pass."""
    learns: list[bool] = []
    kept = [False] * len(calls)
    for position, call in enumerate(calls):
        trained = call.trained_parameters > 0
        learns.append(trained or any(learns[source] for source in call.sources))
        kept[position] = learns[position]
        if trained:
            for source in call.sources:
                kept[source] = True
    return kept


def _is_view(call: LayerCall) -> bool:
    return type(call.layer).__name__ in ("Flatten", "Reshape")
