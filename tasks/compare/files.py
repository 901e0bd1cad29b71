"""The comparison as files: Markdown for reviews, CSV for programs, HTML for people."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from tasks.compare.markdown import as_markdown
from tasks.compare.page import render_page
from tasks.compare.rows import Row
from tasks.compare.table import Group
from tasks.files import write_whole


def write_comparison(groups: Sequence[Group], folder: Path) -> None:
    """Write `comparison.md`, `comparison.csv` and `comparison.html`, each whole or not at all.

    The CSV has the rows of all groups one below the other, with unrounded figures under the names of
    `tasks/compare/rows.py`; what is not known is empty.
    """
    _write(folder / "comparison.md", as_markdown(groups))
    _write(folder / "comparison.csv", _as_csv(groups))
    _write(folder / "comparison.html", render_page(groups))


def _as_csv(groups: Sequence[Group]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for group in groups for row in group.rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
