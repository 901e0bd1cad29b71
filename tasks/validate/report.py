"""The report on the checks of a data set: a page and a summary for people, one file for machines."""

import json
from pathlib import Path

from tasks.files import write_whole
from tasks.records import ValidationReport
from tasks.validate.checked import CheckedData
from tasks.validate.page import render_page
from tasks.validate.report_json import as_json
from tasks.validate.report_markdown import as_markdown


def write_report(data: CheckedData, folder: Path) -> ValidationReport:
    """Write `validation_report.html`, `.md` and `.json` into the folder, which is made where it is missing.

    The page shows the pictures and needs nothing beside itself; the Markdown is a screen or two; the JSON has all.
    """
    failed = [result for result in data.results if not result.passed]
    report = ValidationReport(
        folder=folder,
        failures=tuple(result.sentence for result in failed if result.severity == "critical"),
        warnings=tuple(result.sentence for result in failed if result.severity == "warning"),
    )
    _write(folder / "validation_report.html", render_page(data))
    _write(folder / "validation_report.md", as_markdown(data))
    content = json.dumps(as_json(data), indent=2, ensure_ascii=False, allow_nan=False)
    _write(folder / "validation_report.json", content + "\n")
    return report


def _write(path: Path, text: str) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
