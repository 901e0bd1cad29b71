"""What the drawing of a network says: a box for each layer that has weights, a small one for those between."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tasks.train.layer_graph.series import Branches, Series, Tangle, series_of
from tasks.train.layer_graph.table import LayerRow


@dataclass(frozen=True)
class Box:
    """A box with its lines of text.

    Attributes:
        lines: of text; where there are weights the first names the layer.
        trained: share of its layers that a training changes, 0..1; None where there are no weights.
    """

    lines: tuple[str, ...]
    trained: float | None


@dataclass(frozen=True)
class Lanes:
    """Series side by side; an empty one is a connection that passes by."""

    lanes: "tuple[Column, ...]"


Column = tuple[Box | Lanes, ...]
"""Boxes and lanes, one below the other."""


def boxes_of(rows: Sequence[LayerRow]) -> Column:
    """The rows of a network as boxes in the order and beside each other as they are connected."""
    return tuple(_column(series_of([row.sources for row in rows]), rows))


def _column(series: Series, rows: Sequence[LayerRow]) -> Iterator[Box | Lanes]:
    """Layers without weights that follow one another share a box."""

    def is_small(item: int | Branches | Tangle) -> bool:
        return isinstance(item, int) and not rows[item].parameters and not rows[item].layers

    for small, items in groupby(series, is_small):
        if small:
            yield _small([rows[item] for item in items if isinstance(item, int)])
        else:
            yield from (_box_or_lanes(item, rows) for item in items)


def _box_or_lanes(item: int | Branches | Tangle, rows: Sequence[LayerRow]) -> Box | Lanes:
    if isinstance(item, Branches):
        return Lanes(tuple(tuple(_column(lane, rows)) for lane in item.lanes))
    if isinstance(item, Tangle):
        return _tangle([rows[position] for position in item.positions])
    return _nested(rows[item]) if rows[item].layers else _layer(rows[item])


def _small(rows: Sequence[LayerRow]) -> Box:
    return Box((*(row.kind for row in rows), rows[-1].output), None)


def _layer(row: LayerRow) -> Box:
    return Box((row.kind, f"{row.output} · {row.parameters:,}"), float(row.trained_parameters > 0))


def _nested(row: LayerRow) -> Box:
    trained = f"{row.trained_layers} of them" if 0 < row.trained_layers < row.layers else "all"
    state = f"{trained} trained" if row.trained_parameters else "all frozen"
    lines = (row.name, f"{row.layers} layers, {state}", f"{row.output} · {row.parameters:,}")
    return Box(lines, row.trained_layers / row.layers if row.trained_parameters else 0.0)


def _tangle(rows: Sequence[LayerRow]) -> Box:
    parameters = sum(row.parameters for row in rows)
    trained = any(row.trained_parameters for row in rows)
    lines = (f"{len(rows)} layers", "connected crosswise", f"{parameters:,} parameters")
    return Box(lines, float(trained) if parameters else None)
