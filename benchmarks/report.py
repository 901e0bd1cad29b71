"""What every benchmark prints: a table for people and one line of JSON."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: what was measured.
        value: median over the rounds.
        unit: of the value.
        ratio: of the value to that of another row of the same run; None where there is nothing to compare with.
        to: that other row.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    to: str = ""


def in_turns(parts: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Medians of parts that are measured one after the other, round after round: what slows the machine slows all."""
    values: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            values[name].append(part())
    return {name: float(np.median(each)) for name, each in values.items()}


def seconds(part: Callable[[], Any]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    part()
    return time.perf_counter() - started


def show(benchmark: str, rows: Sequence[Row], about: str = "") -> None:
    """Print the table, and the line of JSON after it; `about` says what the figures were measured on."""
    table = Table("what", "median", "ratio", title=f"{benchmark}: {about}" if about else benchmark)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g} × {row.to}"
        table.add_row(row.name, f"{row.value:,.4g} {row.unit}", ratio)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(json.dumps({"benchmark": benchmark, "about": about, "rows": [asdict(row) for row in rows]}))
