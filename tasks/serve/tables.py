"""Answers as tables: for people, and as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from tasks.answers import Answer
from tasks.manifest import BOX_COLUMNS


def make_table(answers: Iterable[Answer]) -> Table:
    """A row a file: its class with its confidence, the box where there is one, the note where there is any."""
    answers = list(answers)
    heads = [head for head in ("label", "confidence", "box") if any(answer[head] is not None for answer in answers)]
    notes = ["note"] if any(answer["note"] for answer in answers) else []
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("file", *heads, *notes):
        table.add_column(heading, justify="right" if heading == "confidence" else "left", overflow="fold")
    for answer in answers:
        cells = [answer["path"], *(_in_words(answer[column]) for column in (*heads, *notes))]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _in_words(value: str | float | dict[str, float] | None) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part:.3f}" for name, part in value.items())
    return f"{value:.1%}" if isinstance(value, float) else value or ""


def make_csv(answers: Iterable[Answer], class_names: Sequence[str]) -> str:
    """`path`, `label`, `confidence`, `probability.<class>`, `box_x` … `box_height`, `note`; empty cells for None."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    columns = ["label", "confidence", *(f"probability.{name}" for name in class_names), *BOX_COLUMNS]
    writer.writerow(["path", *columns, "note"])
    for answer in answers:
        probabilities, where = answer["probabilities"] or {}, answer["box"] or {}
        cells = [answer["label"], answer["confidence"], *(probabilities.get(name) for name in class_names)]
        cells += [where.get(name.removeprefix("box_")) for name in BOX_COLUMNS]
        writer.writerow([answer["path"], *cells, answer["note"]])
    return lines.getvalue()
