"""The comparison as files: Markdown for reviews, CSV for programs, HTML for people."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tasks.compare.markdown import as_markdown
from tasks.compare.page import render_page
from tasks.compare.pair_table import PAIR_NAMES, pair_records
from tasks.compare.rows import Row
from tasks.compare.table import Group
from tasks.compare.thumbnails import Thumbnails
from tasks.files import write_whole

_NAMES = [field.name for field in fields(Row)]


def write_comparison(groups: Sequence[Group], folder: Path, thumbnails: Mapping[str, Thumbnails] | None = None) -> None:
    """Write `comparison.md`, `comparison.csv`, `pairs.csv` and `comparison.html`, each whole or not at all.

    The CSVs have the rows, or the pairs, of all groups one below the other, with unrounded figures under the names of
    `tasks/compare/rows.py` and `tasks/compare/pairs.py`; what is not known is empty.

    Args:
        thumbnails: test digest -> pictures of that group's images, for the page.
    """
    _write(folder / "comparison.md", as_markdown(groups))
    _write(folder / "comparison.csv", _as_csv(_NAMES, (asdict(row) for group in groups for row in group.rows)))
    _write(folder / "pairs.csv", _as_csv(PAIR_NAMES, (row for group in groups for row in pair_records(group))))
    _write(folder / "comparison.html", render_page(groups, thumbnails or {}))


def _as_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
