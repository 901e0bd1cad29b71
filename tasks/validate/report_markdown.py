"""The validation report in short: a screen or two of Markdown."""

from collections.abc import Iterator, Sequence

import pandas as pd

from tasks.manifest import SPLITS, usable
from tasks.validate.checked import CheckedData
from tasks.validate.tallies import count_classes, count_pairs, describe_findings, rank_pairs
from tasks.validate.wording import count_reasons, image_names, kinds_of_reasons, shorten, title_of_check

MAX_CLASSES = 20
MAX_SENTENCES = 10
_EXAMPLES = 3


def as_markdown(data: CheckedData) -> str:
    """Verdict, counts, failed expectations, what is quarantined, what else was found, notes."""
    sections = [
        "# Validation report",
        _verdict(data),
        *("## Data set", _bullets(list(_overview(data.table)))),
        *("## Classes", _classes(count_classes(data.table, data.class_names))),
        *("## Failed expectations", _failed(data)),
        *("## Quarantined images", _quarantined(data.table)),
        *("## Other findings", _bullets([*_findings(data), *_pairs(data)])),
        *("## Notes", _bullets([_escape(note) for note in data.notes])),
        "All of it, with pictures: `validation_report.html` beside this file; for machines: `validation_report.json`.",
    ]
    return "\n\n".join(sections) + "\n"


def _verdict(data: CheckedData) -> str:
    severities = [result.severity for result in data.results if not result.passed]
    failures, warnings = severities.count("critical"), severities.count("warning")
    warned = f" {warnings} warning(s), see below." if warnings else ""
    if failures:
        return f"**The data may not be used**, for {failures} reason(s).{warned}"
    return f"**The data may be used.**{warned}"


def _overview(table: pd.DataFrame) -> Iterator[str]:
    rows = usable(table)
    left_out = len(table) - len(rows)
    share = f" ({left_out / len(table):.2%})" if len(table) else ""
    yield f"Source: {', '.join(sorted(table['source'].dropna().unique())) or 'none'}"
    yield f"Images: {len(table):,} listed, {len(rows):,} usable, {left_out:,} quarantined{share}"
    yield f"Bytes: {int(table['bytes'].sum()):,}"
    if len(rows):
        yield f"Width: {_range(rows['width'])}"
        yield f"Height: {_range(rows['height'])}"
        yield "Modes: " + ", ".join(f"{mode} {count:,}" for mode, count in rows["mode"].value_counts().items())


def _range(sides: pd.Series) -> str:
    return f"{sides.min()} to {sides.max()} pixels, median {sides.median():g}"


def _classes(classes: pd.DataFrame) -> str:
    """The table of few classes; of many only the smallest."""
    if len(classes) <= MAX_CLASSES:
        return _table(["label", *classes.columns], classes.reset_index().to_numpy().tolist())
    ordered = classes.sort_values(["usable", "class_name"])
    fewest, most, middle = ordered["usable"].min(), ordered["usable"].max(), ordered["usable"].median()
    smallest = ordered.head(MAX_CLASSES // 2)
    words = [f"{name} {count:,}" for name, count in zip(smallest["class_name"], smallest["usable"], strict=True)]
    return _bullets(
        [
            f"{len(classes):,} classes of {fewest:,} to {most:,} usable images, median {middle:g}",
            f"The smallest: {_escape(', '.join(words))}",
            *(f"In {split}: {classes[split].sum():,}" for split in SPLITS if split in classes),
        ]
    )


def _failed(data: CheckedData) -> str:
    """Critical ones first."""
    failed = sorted((result for result in data.results if not result.passed), key=lambda result: result.severity)
    lines = [f"**{result.severity}** `{result.name}`: {_escape(result.sentence)}" for result in failed]
    left_out = len(lines) - MAX_SENTENCES
    passed = len(data.results) - len(failed)
    ending = [f"and {left_out:,} more"] if left_out > 0 else []
    return _bullets([*lines[:MAX_SENTENCES], *ending]) + f"\n\n{passed:,} of {len(data.results):,} passed."


def _quarantined(table: pd.DataFrame) -> str:
    kinds = kinds_of_reasons(table)
    lines = []
    for kind, count in count_reasons(table).items():
        rows = table.loc[kinds.index[kinds == kind][:_EXAMPLES]]
        details = rows["status"].str.removeprefix(f"{kind}: ")
        examples = [f"{name} ({detail})" for name, detail in zip(image_names(rows), details, strict=True)]
        lines.append(_escape(f"{count:,} {kind}: {shorten(examples, count, _EXAMPLES)}"))
    return _bullets(lines)


def _findings(data: CheckedData) -> Iterator[str]:
    """What was found and does not quarantine."""
    found = describe_findings(data)
    for check, rows in found[~found["quarantined"].astype(bool)].groupby("check", sort=False):
        some = rows.head(_EXAMPLES)
        examples = [f"{name} ({detail})" for name, detail in zip(some["name"], some["detail"], strict=True)]
        title = title_of_check(str(check))
        yield _escape(f"{len(rows):,} {title[0].lower()}{title[1:]}: {shorten(examples, len(rows), _EXAMPLES)}")


def _pairs(data: CheckedData) -> Iterator[str]:
    for relation, counts in count_pairs(rank_pairs(data)).items():
        if counts:
            numbers = " and ".join(f"{count:,} {kind}" for kind, count in counts.items())
            yield f"Pairs of duplicates in {relation}: {numbers}"


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."


def _table(header: list[str], rows: Sequence[Sequence[object]]) -> str:
    ruler = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(_escape(str(value)) for value in row)} |" for row in (header, ruler, *rows))


def _escape(text: str) -> str:
    """File and class names are other people's: whatever would end a cell or be taken for markup is escaped."""
    for mark in "\\|*`[":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.replace("<", "&lt;").split())
