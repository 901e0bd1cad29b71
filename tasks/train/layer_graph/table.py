"""The layers of a network as rows for people: kind, output, parameters; for a table and for a drawing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from tasks.train.layer_graph.calls import LayerCall, Shape, calls_of, is_model


@dataclass(frozen=True)
class LayerRow:
    """One layer, or one nested model, or functions that follow one another.

    Attributes:
        name: Keras's.
        kind: class and settings in a few words, as `Conv2D 3×3, 64, relu`.
        output: its size without the batch, as `32×32×64`.
        parameters: number of its weights.
        trained_parameters: number of those that a training changes.
        sources: positions of the rows whose outputs it takes.
        layers: of a nested model; 0 where it is none.
        trained_layers: of a nested model, those that are not frozen.
    """

    name: str
    kind: str
    output: str
    parameters: int
    trained_parameters: int
    sources: tuple[int, ...]
    layers: int = 0
    trained_layers: int = 0


def rows_of(network: Any) -> list[LayerRow]:
    """One row for each layer of a Keras model, sources first; a nested model is one row.

    Functions that are no layers, as a backbone's preprocessing, are one row where they follow one another.

    Raises:
        ValueError: its graph is not known, see `calls_of`.
    """
    calls = calls_of(network)
    rows: list[LayerRow] = []
    place: dict[int, int] = {}
    for run in _runs(calls):
        outside = [source for position in run for source in calls[position].sources if source < run[0]]
        row = _row(calls[run[-1]]) if len(run) == 1 else _joined([calls[position] for position in run])
        place.update((position, len(rows)) for position in run)
        rows.append(replace(row, sources=tuple(dict.fromkeys(place[source] for source in outside))))
    return rows


def summarize_layers(network: Any) -> pd.DataFrame:
    """One row for each of `rows_of`: `layer`, `kind`, `output`, `parameters`, `trained_parameters`.

    Raises:
        ValueError: its graph is not known, see `calls_of`.
    """
    rows = rows_of(network)
    told = [(row.name, row.kind, row.output, row.parameters, row.trained_parameters) for row in rows]
    return pd.DataFrame(told, columns=["layer", "kind", "output", "parameters", "trained_parameters"])


def shown_shape(shape: Shape) -> str:
    """`32×32×64`; a side that is left open is `any`."""
    return "×".join("any" if side is None else str(side) for side in shape)


def _runs(calls: Sequence[LayerCall]) -> list[list[int]]:
    """Positions, those of functions that follow one another together, unless something takes one from their midst."""
    runs: list[list[int]] = []
    for position, call in enumerate(calls):
        if runs and _is_minor(call) and _is_minor(calls[runs[-1][-1]]):
            runs[-1].append(position)
        else:
            runs.append([position])
    whole = ([run] if _only_last_is_taken(calls, run) else [[position] for position in run] for run in runs)
    return [part for parts in whole for part in parts]


def _only_last_is_taken(calls: Sequence[LayerCall], run: Sequence[int]) -> bool:
    later = (source for call in calls[run[-1] + 1 :] for source in call.sources)
    return not set(later) & set(run[:-1])


def _is_minor(call: LayerCall) -> bool:
    """Whether it is a function, and not the resizing, which changes the size and so is told by itself."""
    import keras

    return not isinstance(call.layer, keras.Layer) and type(call.layer).__name__ != "Resize"


def _row(call: LayerCall) -> LayerRow:
    layers = call.layer.layers if is_model(call.layer) else []
    return LayerRow(
        name=call.layer.name,
        kind=_kind(call.layer),
        output=shown_shape(call.output_shape),
        parameters=call.parameters,
        trained_parameters=call.trained_parameters,
        sources=(),
        layers=len(layers),
        trained_layers=sum(layer.trainable for layer in layers),
    )


def _joined(calls: Sequence[LayerCall]) -> LayerRow:
    """`GetItem ×3, Stack, Add`."""
    last = _row(calls[-1])
    counted = Counter(type(call.layer).__name__ for call in calls)
    kind = ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in counted.items())
    return replace(last, name=f"{calls[0].layer.name} … {last.name}", kind=kind)


def _kind(layer: Any) -> str:
    """Class and what tells it from others of its class."""
    if is_model(layer):
        return f"model of {len(layer.layers)} layers"
    kind = type(layer).__name__.removesuffix("Layer")
    settings = [*_window(layer), *_width(layer), *_activation(layer)]
    return f"{kind} {', '.join(settings)}" if settings else kind


def _window(layer: Any) -> list[str]:
    """Kernel or pool, and the stride where it is not the usual one: 1 of a kernel, the pool's own side of a pool."""
    kernel, pool = getattr(layer, "kernel_size", None), getattr(layer, "pool_size", None)
    window = kernel or pool
    if not isinstance(window, tuple):
        return []
    usual = (1,) * len(window) if kernel else window
    stride = [] if tuple(layer.strides) == usual else [f"stride {layer.strides[0]}"]
    return ["×".join(map(str, window)), *stride]


def _width(layer: Any) -> list[str]:
    width = getattr(layer, "filters", None) or getattr(layer, "units", None) or getattr(layer, "rate", None)
    return [f"{width:g}"] if width else []


def _activation(layer: Any) -> list[str]:
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return [] if name == "linear" else [name]
