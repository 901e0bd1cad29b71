"""The report on the checks of a data set: one page for people, one file for machines."""

import json
from collections.abc import Hashable, Sequence
from pathlib import Path

import pandas as pd

from tasks.files import write_whole
from tasks.manifest import SPLITS, usable
from tasks.records import ValidationReport
from tasks.validate.expectations import ExpectationResult
from tasks.validate.wording import count_reasons, image_names

MAX_LISTED = 200
_NO_SPLIT = "none given"


def write_report(
    table: pd.DataFrame,
    class_names: tuple[str, ...],
    results: list[ExpectationResult],
    notes: tuple[str, ...],
    folder: Path,
) -> ValidationReport:
    """Write `validation_report.md` and `validation_report.json` into the folder, which is made where it is missing.

    Args:
        table: a manifest, quarantined rows included; `split` as the source gives it.
        class_names: in label order.
        results: of `check_expectations`.
        notes: sentences for the reader, as what the source left out.
    """
    failed = [result for result in results if not result.passed]
    report = ValidationReport(
        folder=folder,
        failures=tuple(result.sentence for result in failed if result.severity == "critical"),
        warnings=tuple(result.sentence for result in failed if result.severity == "warning"),
    )
    classes = _count_classes(table, class_names)
    _write(folder / "validation_report.md", _as_markdown(table, classes, results, notes, report))
    content = _as_json(table, classes, results, notes, report)
    _write(folder / "validation_report.json", json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return report


def _write(path: Path, text: str) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _count_classes(table: pd.DataFrame, class_names: tuple[str, ...]) -> pd.DataFrame:
    """One row a class, in label order: class_name, listed, quarantined, usable, and the usable ones by given split."""
    rows = usable(table)
    by_split = pd.crosstab(rows["label"], rows["split"].fillna(_NO_SPLIT))
    listed, kept = (some["label"].value_counts() for some in (table, rows))
    labels = range(len(class_names))
    counts = pd.DataFrame({"listed": listed, "quarantined": listed.sub(kept, fill_value=0), "usable": kept})
    counts = counts.join(by_split).reindex(index=labels, columns=[*counts.columns, *_given_splits(rows)])
    counts = counts.fillna(0).astype(int)
    counts.insert(0, "class_name", list(class_names))
    return counts


def _given_splits(rows: pd.DataFrame) -> list[str]:
    """The splits that the rows have, in the usual order."""
    present = set(rows["split"].fillna(_NO_SPLIT))
    return [split for split in (*SPLITS, _NO_SPLIT) if split in present]


def _as_markdown(
    table: pd.DataFrame,
    classes: pd.DataFrame,
    results: list[ExpectationResult],
    notes: tuple[str, ...],
    report: ValidationReport,
) -> str:
    sections = [
        "# Validation report",
        _verdict(report),
        *("## Data set", _bullets(_overview(table))),
        *("## Classes", _markdown_table(["label", *classes.columns], classes.reset_index().to_numpy().tolist())),
        *("## Expectations", _expectations_section(results)),
        *("## Quarantined images", _quarantine_section(table)),
        *("## Notes", _bullets(list(notes)) if notes else "None."),
    ]
    return "\n\n".join(sections) + "\n"


def _verdict(report: ValidationReport) -> str:
    warned = f" {len(report.warnings)} warning(s), see below." if report.warnings else ""
    if not report.failures:
        return f"**The data may be used.**{warned}"
    return f"**The data may not be used**, for {len(report.failures)} reason(s).{warned}\n\n" + _bullets(
        list(report.failures)
    )


def _overview(table: pd.DataFrame) -> list[str]:
    rows = usable(table)
    left_out = len(table) - len(rows)
    share = f" ({left_out / len(table):.2%})" if len(table) else ""
    lines = [
        f"Source: {', '.join(sorted(table['source'].dropna().unique())) or 'none'}",
        f"Images: {len(table):,} listed, {len(rows):,} usable, {left_out:,} quarantined{share}",
        f"Bytes: {int(table['bytes'].sum()):,}",
    ]
    if len(rows):
        modes = ", ".join(f"{mode} {count:,}" for mode, count in rows["mode"].value_counts().sort_index().items())
        lines += [f"Width: {_range(rows['width'])}", f"Height: {_range(rows['height'])}", f"Modes: {modes}"]
    return lines


def _range(sides: pd.Series) -> str:
    return f"{sides.min()} to {sides.max()} pixels, median {sides.median():g}"


def _expectations_section(results: list[ExpectationResult]) -> str:
    """Failures first."""
    ordered = sorted(results, key=lambda result: (result.passed, result.severity))
    rows = [["passed" if r.passed else "**failed**", r.severity, r.name, r.sentence] for r in ordered]
    return _markdown_table(["result", "severity", "expectation", "detail"], rows)


def _quarantine_section(table: pd.DataFrame) -> str:
    quarantined = table[table["status"] != "ok"]
    if quarantined.empty:
        return "None."
    reasons = [f"{images:,} {kind}" for kind, images in count_reasons(table).items()]
    shown = quarantined.head(MAX_LISTED)
    rows = list(zip(image_names(shown), shown["class_name"], shown["status"], strict=True))
    left_out = len(quarantined) - len(shown)
    ending = f"\n\nand {left_out:,} more, listed in `validation_report.json`." if left_out else ""
    return f"{_bullets(reasons)}\n\n{_markdown_table(['image', 'class', 'reason'], rows)}{ending}"


def _as_json(
    table: pd.DataFrame,
    classes: pd.DataFrame,
    results: list[ExpectationResult],
    notes: tuple[str, ...],
    report: ValidationReport,
) -> dict[str, object]:
    rows = usable(table)
    return {
        "usable": not report.failures,
        "failures": list(report.failures),
        "warnings": list(report.warnings),
        "images": {"listed": len(table), "usable": len(rows), "quarantined": len(table) - len(rows)},
        "reasons": count_reasons(table),
        "classes": classes.rename_axis("label").reset_index().to_dict("records"),
        "expectations": [vars(result) for result in results],
        "quarantined": _quarantined_as_json(table),
        "notes": list(notes),
    }


def _quarantined_as_json(table: pd.DataFrame) -> list[dict[Hashable, object]]:
    """One object a row; of `path` and `index` one is null, and `split` where none is given."""
    rows = table.loc[table["status"] != "ok", ["path", "index", "label", "class_name", "split", "status"]]
    values = rows.rename(columns={"status": "reason"}).astype(object)
    return values.where(values.notna(), None).to_dict("records")


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _markdown_table(header: list[str], rows: Sequence[Sequence[object]]) -> str:
    ruler = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (header, ruler, *rows))


def _cell(value: object) -> str:
    """File and class names are other people's: whatever would end a cell or be taken for markup is escaped."""
    text = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(text.split())
