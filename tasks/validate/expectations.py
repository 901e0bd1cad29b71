"""What a data set must be before anything is trained on it, as Great Expectations suites over its manifest.

Four tables are checked, each by a suite of its own: the manifest's columns (one row a column), its usable rows, its
classes (one row a class) and the whole (one row). Each expectation gives one result, which says in a sentence what was
expected, what was received, and what would mend it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import pandas as pd

from pipeline_config.experiment import Validation
from tasks.manifest import COLUMNS, DTYPES, usable
from tasks.validate.wording import MAX_EXAMPLES, count_reasons, image_names, shorten

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation

Severity = Literal["critical", "warning"]

# A usable row may leave these in no case empty. Without `path` or `index` it could not have been read.
REQUIRED = (
    *("image_id", "source", "label", "class_name", "width", "height"),
    *("mode", "bytes", "sha256", "phash", "group", "status"),
)
# Beyond one to ten, accuracy says little about the small classes. A convention, no law: hence only a warning.
MAX_IMBALANCE = 10


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation and how it came out.

    Attributes:
        name: stable, for machines, as `label_in_range`.
        severity: a failed `critical` stops the run, a failed `warning` is told.
        passed: whether the data are as expected.
        sentence: for people; of a failure what was expected, what was received with examples, and the likely mend.
    """

    name: str
    severity: Severity
    passed: bool
    sentence: str


@dataclass(frozen=True)
class _Check:
    """An expectation and its words: `expected; received` when it passed, `expected; complaint` when it failed.

    Attributes:
        kind: name of the Great Expectations class, `arguments` its keyword arguments.
        complaint: from the offending rows of the checked table.
    """

    name: str
    kind: str
    arguments: dict[str, object]
    expected: str
    received: str
    complaint: Callable[[pd.DataFrame], str]
    severity: Severity = field(default="critical", kw_only=True)

    def result(self, passed: bool, offending: pd.DataFrame) -> ExpectationResult:
        """The outcome, in words."""
        received = self.received if passed else self.complaint(offending)
        return ExpectationResult(self.name, self.severity, passed, f"{self.expected}; {received}.")


def check_expectations(
    table: pd.DataFrame, class_names: tuple[str, ...], bounds: Validation
) -> list[ExpectationResult]:
    """Results of all expectations on a manifest, passed ones included.

    Where the columns are not those of a manifest, they alone are checked, as nothing else could be read from it.

    Args:
        table: a manifest, quarantined rows included.
        class_names: in label order; at least one.
        bounds: the experiment's section `validation`.
    """
    results = _validate(_columns_as_rows(table), _column_checks())
    if not all(result.passed for result in results):
        return results
    rows = usable(table)
    classes = _count_by_class(table, class_names)
    results += _validate(rows, _row_checks(len(rows), class_names, bounds))
    results += _validate(classes, [_check_class_sizes(classes, bounds)])
    return results + _validate(_summarise(table, classes), _summary_checks(table, classes, bounds))


def _columns_as_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Expected columns, then others, with types and places: Great Expectations takes Int64 and int64 for one."""
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


def _column_checks() -> list[_Check]:
    mend = "Pass the table through tasks.manifest.conform"
    return [
        _Check(
            "column_types",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "expected", "column_B": "received"},
            "The manifest has exactly the columns of tasks/manifest.py, in their types",
            "it does",
            lambda rows: f"{shorten([_tell_types(row) for _, row in rows.iterrows()])}. {mend}",
        ),
        _Check(
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


def _row_checks(total: int, class_names: tuple[str, ...], bounds: Validation) -> list[_Check]:
    """Over the usable rows, of which there are `total`."""
    return [
        *(_check_present(total, column) for column in REQUIRED),
        _check_unique(total),
        _check_label(total, len(class_names) - 1),
        _check_class_name(total, class_names),
        _check_side(total, "width", bounds),
        _check_side(total, "height", bounds),
    ]


def _check_present(total: int, column: str) -> _Check:
    expected = f"Every usable image has a value in {column}"
    mend = "Inspect the files anew: the table was changed since"
    return _row_check(total, f"{column}_present", "ExpectColumnValuesToNotBeNull", {"column": column}, expected, mend)


def _check_unique(total: int) -> _Check:
    expected = "Every usable image has pixels that no other has (image_id)"
    mend = "Quarantine all copies but one"
    return _row_check(total, "image_id_unique", "ExpectColumnValuesToBeUnique", {"column": "image_id"}, expected, mend)


def _check_label(total: int, last: int) -> _Check:
    arguments = {"column": "label", "min_value": 0, "max_value": last}
    expected = f"Every usable image has a label from 0 to {last}"
    mend = "Look at how the source numbers its classes"
    return _row_check(total, "label_in_range", "ExpectColumnValuesToBeBetween", arguments, expected, mend)


def _check_class_name(total: int, class_names: tuple[str, ...]) -> _Check:
    arguments: dict[str, object] = {"column": "class_name", "value_set": list(class_names)}
    listed = shorten(list(class_names), most=20)
    expected = f"Every usable image is of one of the {len(class_names)} classes {listed}"
    mend = "Look at how the source names its classes"
    return _row_check(total, "class_name_known", "ExpectColumnValuesToBeInSet", arguments, expected, mend)


def _check_side(total: int, side: str, bounds: Validation) -> _Check:
    arguments = {"column": side, "min_value": bounds.min_side, "max_value": bounds.max_side}
    allowed = f"{bounds.min_side} to {bounds.max_side} pixels (validation.min_side, max_side)"
    expected = f"Every usable image has a {side} of {allowed}"
    mend = "Resize or remove them, or change the bounds"
    return _row_check(total, f"{side}_in_bounds", "ExpectColumnValuesToBeBetween", arguments, expected, mend)


def _row_check(total: int, name: str, kind: str, arguments: dict[str, object], expected: str, mend: str) -> _Check:
    """A check of one column of the usable rows, which names the rows where it fails."""

    def complain(rows: pd.DataFrame) -> str:
        return f"not so in {len(rows):,} of {total:,}: {_tell_rows(rows, str(arguments['column']))}. {mend}"

    return _Check(name, kind, arguments, expected, f"so it is in all {total:,}", complain)


def _tell_rows(rows: pd.DataFrame, column: str) -> str:
    """`a.png (class cat) has 12 and 3 more`, by path or index; only what is shown is put into words."""
    ordered = rows.sort_values(["path", "index"])
    values = ordered[column].astype("str").fillna("none").str[:40].head(MAX_EXAMPLES)  # hashes are cut short
    named = zip(image_names(ordered), ordered["class_name"], values, strict=False)
    return shorten([f"{name} (class {class_name}) has {value}" for name, class_name, value in named], len(rows))


def _count_by_class(table: pd.DataFrame, class_names: tuple[str, ...]) -> pd.DataFrame:
    """One row a class: class_name, usable and quarantined images."""
    labels = range(len(class_names))
    usable_images = usable(table)["label"].value_counts().reindex(labels, fill_value=0)
    listed = table["label"].value_counts().reindex(labels, fill_value=0)
    return pd.DataFrame({"class_name": class_names, "usable": usable_images, "quarantined": listed - usable_images})


def _check_class_sizes(classes: pd.DataFrame, bounds: Validation) -> _Check:
    fewest = classes.iloc[int(classes["usable"].argmin())]
    least = bounds.min_images_per_class
    return _Check(
        "class_size",
        "ExpectColumnValuesToBeBetween",
        {"column": "usable", "min_value": least},
        f"Every class has at least {least} usable images (validation.min_images_per_class)",
        f"the smallest, {fewest['class_name']}, has {fewest['usable']:,}",
        _tell_small_classes,
    )


def _tell_small_classes(rows: pd.DataFrame) -> str:
    examples = [_tell_small_class(row) for _, row in rows.sort_values(["usable", "class_name"]).iterrows()]
    mend = "Add images" if not rows["quarantined"].any() else "Mend the quarantined images, add others"
    return f"{shorten(examples)}. {mend}, leave the class out, or look whether its folder or label is misspelt"


def _tell_small_class(row: pd.Series) -> str:
    quarantined = f" ({row['quarantined']:,} quarantined)" if row["quarantined"] else ""
    return f"{row['class_name']} has {row['usable']:,}{quarantined}"


def _summarise(table: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """One row: share of quarantined images, classes that have images, largest class over smallest."""
    present = classes.loc[classes["usable"] > 0, "usable"]
    return pd.DataFrame(
        {
            "quarantined": [float((table["status"] != "ok").mean()) if len(table) else 0.0],
            "classes": [len(present)],
            "imbalance": [present.max() / present.min() if len(present) else 1.0],
        }
    )


def _summary_checks(table: pd.DataFrame, classes: pd.DataFrame, bounds: Validation) -> list[_Check]:
    return [
        _check_quarantined_share(table, bounds),
        _check_number_of_classes(classes),
        _check_imbalance(classes),
    ]


def _check_quarantined_share(table: pd.DataFrame, bounds: Validation) -> _Check:
    count, total = int((table["status"] != "ok").sum()), len(table)
    received = f"{count:,} of {total:,} are" + (f" ({count / total:.2%})" if total else "")
    reasons = shorten([f"{images:,} {kind}" for kind, images in count_reasons(table).items()])
    told = f"{received}: {reasons}" if reasons else received
    mend = "Mend or remove those files, or raise the bound if they may be left out"
    return _Check(
        "quarantined_share",
        "ExpectColumnValuesToBeBetween",
        {"column": "quarantined", "max_value": bounds.max_quarantined},
        f"At most {bounds.max_quarantined:.2%} of the images are quarantined (validation.max_quarantined)",
        told,
        lambda _: f"{told}. {mend}",
    )


def _check_number_of_classes(classes: pd.DataFrame) -> _Check:
    present = list(classes.loc[classes["usable"] > 0, "class_name"])
    received = f"{len(present)} of {len(classes)} classes have images" + (f": {shorten(present)}" if present else "")
    mend = "A classifier needs two classes to tell apart: look whether the data set's path is one level too deep"
    return _Check(
        "two_classes",
        "ExpectColumnValuesToBeBetween",
        {"column": "classes", "min_value": 2},
        "At least 2 classes have usable images",
        received,
        lambda _: f"{received}. {mend}",
    )


def _check_imbalance(classes: pd.DataFrame) -> _Check:
    present = classes[classes["usable"] > 0].sort_values(["usable", "class_name"])
    ends = (present.iloc[-1], present.iloc[0]) if len(present) else ()
    received = " to ".join(f"{row['usable']:,} ({row['class_name']})" for row in ends) or "there are no images"
    mend = "Judge the models by test_macro_f1 rather than accuracy, or add images to the small classes"
    return _Check(
        "class_imbalance",
        "ExpectColumnValuesToBeBetween",
        {"column": "imbalance", "max_value": MAX_IMBALANCE},
        f"The largest class has at most {MAX_IMBALANCE} times the images of the smallest",
        received,
        lambda _: f"{received}. {mend}",
        severity="warning",
    )


def _validate(table: pd.DataFrame, checks: list[_Check]) -> list[ExpectationResult]:
    """Run the checks as one suite over one table; results in the order of the checks.

    Raises:
        RuntimeError: Great Expectations could not compute one of them, which is a fault of the check, not of the data.
    """
    gx = _import_great_expectations()
    table = table.reset_index(drop=True)  # with a named index offending rows would come as dictionaries
    suite = gx.ExpectationSuite(name="checks", expectations=[_as_expectation(gx, check) for check in checks])
    outcomes = _batch(gx, table).validate(suite, result_format={"result_format": "COMPLETE"}).results
    by_name = {outcome.expectation_config.meta["name"]: outcome for outcome in outcomes}
    return [_as_result(check, by_name[check.name], table) for check in checks]


def _as_expectation(gx: ModuleType, check: _Check) -> "Expectation":
    expectation = getattr(gx.expectations, check.kind)
    return expectation(**check.arguments, severity=check.severity, meta={"name": check.name})


def _as_result(check: _Check, outcome: "ExpectationValidationResult", table: pd.DataFrame) -> ExpectationResult:
    offending = outcome.result.get("unexpected_index_list")
    if offending is None:
        raise RuntimeError(f"Great Expectations could not compute {check.name}: {outcome.exception_info}")
    return check.result(bool(outcome.success), table.loc[offending])


def _batch(gx: ModuleType, table: pd.DataFrame) -> "Batch":
    """The table in a context that lives in memory alone, sends nothing and prints nothing."""
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})


def _import_great_expectations() -> ModuleType:
    """The library, which takes four seconds to import and is therefore imported only where it is used."""
    with warnings.catch_warnings():
        # It imports sre_constants and sre_parse, which Python 3.11 has deprecated.
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations
    module: ModuleType = great_expectations
    return module
