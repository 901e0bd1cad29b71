"""The validation report for machines: everything that was found."""

from collections.abc import Hashable

import pandas as pd

from tasks.manifest import usable
from tasks.validate.checked import CheckedData
from tasks.validate.tallies import count_classes, describe_findings, rank_pairs
from tasks.validate.wording import count_reasons, image_names

_Rows = list[dict[Hashable, object]]


def as_json(data: CheckedData) -> dict[str, object]:
    """The report as what `json.dumps` takes; nothing is left out, null stands for what is not known."""
    failed = [result for result in data.results if not result.passed]
    listed, kept = len(data.table), len(usable(data.table))
    return {
        "usable": all(result.severity != "critical" for result in failed),
        "failures": [result.sentence for result in failed if result.severity == "critical"],
        "warnings": [result.sentence for result in failed if result.severity == "warning"],
        "images": {"listed": listed, "usable": kept, "quarantined": listed - kept},
        "reasons": count_reasons(data.table),
        "classes": count_classes(data.table, data.class_names).rename_axis("label").reset_index().to_dict("records"),
        "expectations": [vars(result) for result in data.results],
        "quarantined": _quarantined(data.table),
        "findings": _findings(data),
        "pairs": _pairs(data),
        "notes": list(data.notes),
        "licence": data.licence,
        "citation": data.citation,
    }


def _quarantined(table: pd.DataFrame) -> _Rows:
    """One object a row; of `path` and `index` one is null, and `split` where none is given."""
    columns = ["path", "index", "label", "class_name", "split", "status"]
    return _records(table.loc[table["status"] != "ok", columns].rename(columns={"status": "reason"}))


def _findings(data: CheckedData) -> dict[str, _Rows]:
    """Check -> what it found: image, class_name, detail, quarantined."""
    columns = {"name": "image", "class_name": "class_name", "detail": "detail", "quarantined": "quarantined"}
    found = describe_findings(data)
    return {
        str(check): _records(rows[list(columns)].rename(columns=columns))
        for check, rows in found.groupby("check", sort=False)
    }


def _pairs(data: CheckedData) -> _Rows:
    """One object a pair, those of most concern first."""
    pairs = rank_pairs(data)
    columns = pairs[["kind", "distance", "relation"]].copy()
    for side in ("first", "second"):
        rows = data.table.loc[pairs[side]]
        columns[side] = image_names(rows).to_numpy()
        columns[f"{side}_class"] = rows["class_name"].to_numpy()
        columns[f"{side}_split"] = rows["split"].to_numpy()
    return _records(columns)


def _records(rows: pd.DataFrame) -> _Rows:
    values = rows.astype(object)
    return values.where(values.notna(), None).to_dict("records")
