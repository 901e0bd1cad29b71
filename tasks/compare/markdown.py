"""The comparison as Markdown: of each group a table with every column, and its pairs of models."""

import re
from collections.abc import Callable, Sequence

from tasks.compare.columns import ALL, LEGEND, Column
from tasks.compare.pair_table import DIFFERENCES, METHOD, Line, ListedPair, list_pairs, make_triangle, summarize
from tasks.compare.rows import Row
from tasks.compare.table import Group


def as_markdown(groups: Sequence[Group]) -> str:
    """Title, test rows, table and pairs of each group, and what the marks mean."""
    sections = ["# Comparison of models"]
    for group in groups:
        sections += [f"{describe_test_rows(group)}:", _model_table(ALL, group.rows), LEGEND, *_describe_pairs(group)]
    return "\n\n".join(sections) + "\n"


def describe_test_rows(group: Group) -> str:
    """`3 models on 342 test images, digest 0123456789ab`."""
    models = f"{len(group.rows)} model{'s' if len(group.rows) > 1 else ''}"
    images = "test images" if group.num_images is None else f"{group.num_images:,} test images"
    return f"{models} on {images}, digest {group.test_digest[:12]}"


def _model_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    heads = [(column.heading, column.is_number) for column in columns]
    return _table(heads, [[column.cell(row) for column in columns] for row in rows])


def _describe_pairs(group: Group) -> list[str]:
    """What is told of the pairs; nothing of a single model."""
    told = summarize(group)
    if told is None:
        return []
    triangle = make_triangle(group)
    return [
        "## Pairs",
        f"{told}. {METHOD}.",
        _pair_table(list_pairs(group)),
        *(["Corrected p-values, by rank; bold: they differ.", _triangle_table(triangle)] if triangle else []),
    ]


def _pair_table(pairs: Sequence[ListedPair]) -> str:
    heads = [("first", False), ("second", False), ("only one right", True), ("p", True), ("p (Holm)", True)]
    heads += [("verdict", False)]
    rows = [
        [pair.first.model, pair.second.model, pair.only_right, pair.p_value, pair.p_holm, pair.verdict]
        for pair in pairs
    ]
    for name, heading in DIFFERENCES.items():
        if getattr(pairs[0], name) is not None:
            heads.append((heading, True))
            rows = [[*row, getattr(pair, name)] for row, pair in zip(rows, pairs, strict=True)]
    return _table(heads, rows)


def _triangle_table(lines: Sequence[Line]) -> str:
    heads = [("#", True), ("model", False), *((str(rank), True) for rank in range(1, len(lines) + 1))]
    lines_of_cells = [
        [str(line.row.rank), _escape(line.row.model), *(_bold(cell.text, cell.differs) for cell in line.cells)]
        for line in lines
    ]
    padded = [[*cells, *[""] * (len(heads) - len(cells))] for cells in lines_of_cells]
    return _table(heads, padded, escape=str)


def _bold(text: str, bold: bool | None) -> str:
    return f"**{_escape(text)}**" if bold else _escape(text)


def _table(
    heads: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], escape: Callable[[str], str] | None = None
) -> str:
    """Cells as text, unless another way to escape them is given; the flag of a head is whether numbers follow."""
    lines = [
        [heading for heading, _ in heads],
        ["---:" if is_number else "---" for _, is_number in heads],
        *([(escape or _escape)(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escape(cell: str) -> str:
    """A cell as plain text: run names and descriptions can hold anything, HTML too."""
    plain = " ".join(cell.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`*\[\]~])", r"\\\1", plain)
