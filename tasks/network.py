"""A network as one row of calls, those inside a nested backbone in its place, so that any of their outputs can be had.

What `layer.output` gives inside a nested model belongs to that model's own graph and cannot be joined to the outer
input. Here every layer is called anew, on one input, with the weights that it has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

Item = TypeVar("Item")

HEAD = "probabilities"
"""Name of the softmax layer in every family with a class head."""

_COARSENING = ("MaxPooling2D", "AveragePooling2D", "BatchNormalization", "Dropout", "SpatialDropout2D")


@dataclass(frozen=True)
class Call:
    """One layer, or one function as the resizing, called on symbolic tensors.

    Attributes:
        layer: Keras's own object.
        sources: tensors that it takes.
        output: tensor that it gives, the first of several.
    """

    layer: Any
    sources: tuple[Any, ...]
    output: Any

    @property
    def makes_map(self) -> bool:
        """Whether the output is `(batch, rows, columns, channels)`."""
        return len(self.output.shape) == 4

    @property
    def size(self) -> str:
        """Of the output, without the batch, as `32×32×64`."""
        return "×".join("any" if side is None else str(side) for side in self.output.shape[1:])


@dataclass(frozen=True)
class UnfoldedNetwork:
    """A network whose every call has its output at hand.

    Attributes:
        pixels: symbolic input `(batch, height, width, 3)`, 0..255.
        calls: sources before what takes their outputs.
    """

    pixels: Any
    calls: tuple[Call, ...]

    @property
    def convolutions(self) -> tuple[Call, ...]:
        """Convolutions of every kind, the first ones first."""
        from keras import layers

        kinds = (layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D)
        return tuple(call for call in self.calls if isinstance(call.layer, kinds))

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that images have behind the resizing: images of this size are not changed by it."""
        shapes = (call.output.shape[1:3] for call in self.calls if call.makes_map)
        height, width = next(shape for shape in shapes if None not in shape)
        return int(height), int(width)

    @property
    def head(self) -> Call | None:
        """The softmax layer of the class head, or None."""
        return next((call for call in self.calls if call.layer.name == HEAD), None)

    def last_map(self) -> Call:
        """The last feature map, before poolings, normalisation and dropout that follow on it.

        Everything that the heads see comes through it, and before a pooling it is finer.
        """
        makers = {id(call.output): call for call in self.calls}
        last = next(call for call in reversed(self.calls) if call.makes_map)
        while type(last.layer).__name__ in _COARSENING and id(last.sources[0]) in makers:
            last = makers[id(last.sources[0])]
        return last

    @property
    def class_head(self) -> Call:
        """As `head`, for callers that cannot go on without it.

        Raises:
            ValueError: there is none.
        """
        if self.head is None:
            raise ValueError("expected a network with a class head; received one without a layer named probabilities")
        return self.head

    @cached_property
    def map_and_features(self) -> Any:
        """A Keras model from pixels to the last feature map and to what the class head takes; made once.

        Raises:
            ValueError: it has no class head.
        """
        return self.model([self.last_map().output, self.class_head.sources[0]])

    def model(self, outputs: Any) -> Any:
        """A Keras model from pixels to some of the calls' tensors."""
        import keras

        return keras.Model(self.pixels, outputs)


def unfold(network: Any) -> UnfoldedNetwork:
    """The calls of a Keras model; its weights are shared, and it stays as it was.

    Args:
        network: functional or sequential and built, of one input.

    Raises:
        ValueError: its graph is not known, or so of a model in it.
    """
    import keras

    calls: list[Call] = []

    def recorded(layer: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if isinstance(layer, keras.Model):
                return _run(layer, arguments, recorded)
            output = layer(*arguments, **options)
            calls.append(Call(layer, _tensors((arguments, options)), _tensors(output)[0]))
            return output

        return call

    pixels = keras.Input(network.inputs[0].shape[1:], name="pixels")
    _run(network, (pixels,), recorded)
    return UnfoldedNetwork(pixels, tuple(calls))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly spread, the first and the last among them."""
    import numpy as np

    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[position] for position in chosen]


def _run(model: Any, inputs: Sequence[Any], operation: Callable[[Any], Callable[..., Any]]) -> Any:
    """Walk the model's graph as Keras does when it is called."""
    graph = getattr(model, "_functional", None) or model  # a sequential model holds its graph
    if not hasattr(graph, "_run_through_graph"):
        raise ValueError(f"expected a functional model, or a sequential one with an input; received {model!r}")
    return graph._run_through_graph(list(inputs), operation_fn=operation)


def _tensors(structure: Any) -> tuple[Any, ...]:
    """The symbolic tensors in nested arguments."""
    import keras

    return tuple(leaf for leaf in keras.tree.flatten(structure) if isinstance(leaf, keras.KerasTensor))
