"""The operations of a network in the order in which they are called, each with its sizes as they are for one image."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class LayerCall:
    """One operation of a network's graph: a layer, a nested model, or a function as the resizing.

    Attributes:
        layer: Keras's own object.
        sources: positions of the calls whose outputs it takes; none for the network's inputs.
        output_shape: without the batch; None only where the input's size itself is left open.
    """

    layer: Any
    sources: tuple[int, ...]
    output_shape: Shape

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        return _size(getattr(self.layer, "weights", ()))

    @property
    def trained_parameters(self) -> int:
        """Number of those that a training changes."""
        return _size(getattr(self.layer, "trainable_weights", ()))


def calls_of(network: Any, *, unfold: bool = False) -> list[LayerCall]:
    """Every call of a Keras model, sources before what takes their outputs.

    Args:
        network: functional or sequential and built. Its layers' own shapes may be unknown (None), as those of a nested
            model that takes images of any size; here the sizes are those of the tensors that it is called on.
        unfold: the calls inside a nested model in its place; else it is one call.

    Raises:
        ValueError: the model is neither functional nor sequential and built, so that its graph is not known.
    """
    graph = _graph(network)
    return _record(graph, [_copy(tensor) for tensor in graph.inputs], unfold)


def layers_of(network: Any) -> Iterator[Any]:
    """The layers of a Keras model, those of a nested model in its place."""
    for layer in network.layers:
        yield from layers_of(layer) if is_model(layer) else (layer,)


def is_model(layer: Any) -> bool:
    """Whether a layer is a Keras model itself, as a backbone."""
    import keras

    return isinstance(layer, keras.Model)


def _graph(network: Any) -> Any:
    graph = getattr(network, "_functional", None) or network  # a sequential model holds its graph
    if not hasattr(graph, "_run_through_graph"):
        raise ValueError(f"expected a functional model, or a sequential one with an input; received {network!r}")
    return graph


def _record(graph: Any, inputs: list[Any], unfold: bool) -> list[LayerCall]:
    """Walk the graph as Keras does when it computes shapes (`Function.compute_output_spec`), and write it down."""
    calls = [LayerCall(layer, (), _shape(tensor)) for layer, tensor in zip(_input_layers(graph), inputs, strict=True)]
    made = list(inputs)  # the tensors themselves, whose identity must not be given to another
    maker = {id(tensor): position for position, tensor in enumerate(inputs)}

    def recorded(layer: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if unfold and is_model(layer):
                return _run(_graph(layer), arguments, recorded)
            outputs = _copied(layer.compute_output_spec(*arguments, **options))
            sources = [maker[id(tensor)] for tensor in _flat((arguments, options)) if id(tensor) in maker]
            for tensor in _flat(outputs):
                made.append(tensor)
                maker[id(tensor)] = len(calls)
            calls.append(LayerCall(layer, tuple(dict.fromkeys(sources)), _shape(_flat(outputs)[0])))
            return outputs

        return call

    _run(graph, inputs, recorded)
    return calls


def _run(graph: Any, inputs: Any, operation: Callable[[Any], Callable[..., Any]]) -> Any:
    return graph._run_through_graph(inputs, operation_fn=operation)


def _input_layers(graph: Any) -> list[Any]:
    return [tensor._keras_history.operation for tensor in graph.inputs]


def _copied(outputs: Any) -> Any:
    import keras

    return keras.tree.map_structure(_copy, outputs)


def _copy(tensor: Any) -> Any:
    """A tensor of its own: a layer that changes nothing may hand back what it was given."""
    import keras

    return keras.KerasTensor(tensor.shape, dtype=tensor.dtype)


def _flat(structure: Any) -> list[Any]:
    import keras

    flat: list[Any] = keras.tree.flatten(structure)
    return flat


def _shape(tensor: Any) -> Shape:
    return tuple(tensor.shape[1:])


def _size(weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
