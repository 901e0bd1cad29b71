"""That a manifest is sound: what the next stages rely on, and nobody can switch off."""

import pandas as pd

from tasks.manifest import COLUMNS, DTYPES
from tasks.validate.expectations import Check
from tasks.validate.wording import MAX_EXAMPLES, image_names, shorten

# A usable row may leave these in no case empty. Without `path` or `index` it could not have been read.
REQUIRED = (
    *("image_id", "source", "label", "class_name", "width", "height"),
    *("mode", "format", "brightness", "bytes", "sha256", "phash", "group", "status"),
)


def columns_as_rows(table: pd.DataFrame) -> pd.DataFrame:
    """One row a column, expected ones first, with types and places.

    Types are compared as words because Great Expectations takes Int64 and int64 for one.
    """
    received = {str(name): str(dtype) for name, dtype in table.dtypes.items()}
    names = list(dict.fromkeys([*COLUMNS, *received]))
    expected_order = [name for name in COLUMNS if name in received]
    received_order = [name for name in received if name in DTYPES]
    return pd.DataFrame(
        {
            "column": names,
            "expected": [DTYPES.get(name, "no such column") for name in names],
            "received": [received.get(name, "no such column") for name in names],
            "expected_place": [_place(name, expected_order) for name in names],
            "received_place": [_place(name, received_order) for name in names],
        }
    )


def _place(name: str, order: list[str]) -> int:
    """Position, or -1 for what the order does not know: a missing column moves no other out of its place."""
    return order.index(name) if name in order else -1


def column_checks() -> list[Check]:
    """Over the table of `columns_as_rows`."""
    mend = "Pass the table through tasks.manifest.conform"
    return [
        Check(
            "column_types",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "expected", "column_B": "received"},
            "The manifest has exactly the columns of tasks/manifest.py, in their types",
            "it does",
            lambda rows: f"{shorten([_tell_types(row) for _, row in rows.iterrows()])}. {mend}",
        ),
        Check(
            "column_order",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "expected_place", "column_B": "received_place"},
            "The manifest's columns stand in the order of tasks/manifest.py",
            "they do",
            lambda rows: f"out of place: {shorten(list(rows['column']))}. {mend}",
        ),
    ]


def _tell_types(row: pd.Series) -> str:
    return f"{row['column']} should be {row['expected']} and is {row['received']}"


def row_checks(total: int, class_names: tuple[str, ...], copies_may_stay: bool) -> list[Check]:
    """Over the usable rows, of which there are `total`."""
    return [
        *(_check_present(total, column) for column in REQUIRED),
        *([] if copies_may_stay else [_check_unique(total)]),
        _check_label(total, len(class_names) - 1),
        _check_class_name(total, class_names),
    ]


def _check_present(total: int, column: str) -> Check:
    expected = f"Every usable image has a value in {column}"
    mend = "Inspect the files anew: the table was changed since"
    return _row_check(total, f"{column}_present", "ExpectColumnValuesToNotBeNull", {"column": column}, expected, mend)


def _check_unique(total: int) -> Check:
    expected = "Every usable image has pixels that no other has (image_id)"
    mend = "Quarantine all copies but one"
    return _row_check(total, "image_id_unique", "ExpectColumnValuesToBeUnique", {"column": "image_id"}, expected, mend)


def _check_label(total: int, last: int) -> Check:
    arguments = {"column": "label", "min_value": 0, "max_value": last}
    expected = f"Every usable image has a label from 0 to {last}"
    mend = "Look at how the source numbers its classes"
    return _row_check(total, "label_in_range", "ExpectColumnValuesToBeBetween", arguments, expected, mend)


def _check_class_name(total: int, class_names: tuple[str, ...]) -> Check:
    arguments: dict[str, object] = {"column": "class_name", "value_set": list(class_names)}
    listed = shorten(list(class_names), most=20)
    expected = f"Every usable image is of one of the {len(class_names)} classes {listed}"
    mend = "Look at how the source names its classes"
    return _row_check(total, "class_name_known", "ExpectColumnValuesToBeInSet", arguments, expected, mend)


def _row_check(total: int, name: str, kind: str, arguments: dict[str, object], expected: str, mend: str) -> Check:
    """A check of one column of the usable rows, which names the rows where it fails."""

    def complain(rows: pd.DataFrame) -> str:
        return f"not so in {len(rows):,} of {total:,}: {_tell_rows(rows, str(arguments['column']))}. {mend}"

    return Check(name, kind, arguments, expected, f"so it is in all {total:,}", complain)


def _tell_rows(rows: pd.DataFrame, column: str) -> str:
    """`a.png (class cat) has 12 and 3 more`, by path or index; only what is shown is put into words."""
    ordered = rows.sort_values(["path", "index"])
    values = ordered[column].astype("str").fillna("none").str[:40].head(MAX_EXAMPLES)  # hashes are cut short
    named = zip(image_names(ordered), ordered["class_name"], values, strict=False)
    return shorten([f"{name} (class {class_name}) has {value}" for name, class_name, value in named], len(rows))
