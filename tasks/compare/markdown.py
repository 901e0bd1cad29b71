"""The comparison as Markdown: one table a group, every column."""

import re
from collections.abc import Sequence

from tasks.compare.columns import ALL, LEGEND, Column
from tasks.compare.rows import Row
from tasks.compare.table import Group


def as_markdown(groups: Sequence[Group]) -> str:
    """Title, test rows and table of each group, and what the marks mean."""
    sections = ["# Comparison of models"]
    for group in groups:
        sections += [f"{describe_test_rows(group)}:", _table(ALL, group.rows)]
    return "\n\n".join([*sections, LEGEND]) + "\n"


def describe_test_rows(group: Group) -> str:
    """`3 models on 342 test images, digest 0123456789ab`."""
    models = f"{len(group.rows)} model{'s' if len(group.rows) > 1 else ''}"
    images = "test images" if group.num_images is None else f"{group.num_images:,} test images"
    return f"{models} on {images}, digest {group.test_digest[:12]}"


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    lines = [
        [column.heading for column in columns],
        ["---:" if column.is_number else "---" for column in columns],
        *([_escape(column.cell(row)) for column in columns] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escape(cell: str) -> str:
    """A cell as plain text: run names and descriptions can hold anything, HTML too."""
    plain = " ".join(cell.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`*\[\]~])", r"\\\1", plain)
