"""What a data set must be before anything is trained on it, as Great Expectations suites over its manifest.

Four tables are checked, each by a suite of its own: the manifest's columns (one row a column), its usable rows, its
classes (one row a class) and the whole (one row, a column for each number about it).
"""

import pandas as pd

from pipeline_config.experiment import Validation
from tasks.manifest import usable
from tasks.validate.expectations import Check, ExpectationResult, validate
from tasks.validate.image_measures import image_measures
from tasks.validate.leakage import leaked_share
from tasks.validate.manifest_checks import column_checks, columns_as_rows, row_checks
from tasks.validate.measures import Measure, as_row
from tasks.validate.set_measures import (
    class_measures,
    count_by_class,
    duplicate_measures,
    leakage_measure,
    precision_measure,
)
from tasks.validate.wording import shorten


def check_dataset(
    table: pd.DataFrame,
    class_names: tuple[str, ...],
    findings: pd.DataFrame,
    pairs: pd.DataFrame,
    leaks: pd.DataFrame,
    bounds: Validation,
) -> list[ExpectationResult]:
    """Results of all expectations on a data set that has no splits of ours yet, passed ones included.

    Where the columns are not those of a manifest, they alone are checked, as nothing else could be read from it.

    Args:
        table: a manifest, quarantined rows included, index 0..n-1.
        class_names: in label order; at least one.
        findings, pairs: as in `tasks.validate.checked.CheckedData`.
        leaks: as `tasks.validate.leakage.leaking_rows` gives them.
        bounds: the experiment's section `validation`.
    """
    results = validate(columns_as_rows(table), column_checks())
    if not all(result.passed for result in results):
        return results
    rows = usable(table)
    classes = count_by_class(table, class_names)
    copies_may_stay = "off" in (bounds.duplicates, bounds.conflicting_labels)
    results += validate(rows, row_checks(len(rows), class_names, copies_may_stay))
    if bounds.class_size != "off":
        results += validate(classes, [_check_class_sizes(classes, bounds)])
    return results + _measured(
        [
            *image_measures(table, findings, bounds),
            *class_measures(table, classes, bounds),
            *duplicate_measures(table, pairs, bounds),
            leakage_measure(table, leaks, leaked_share(table, leaks), bounds),
        ]
    )


def check_splits(table: pd.DataFrame, bounds: Validation) -> list[ExpectationResult]:
    """What can be said once every image has its split: how finely the test images will tell models apart."""
    return _measured([precision_measure(table, bounds)])


def _measured(measures: list[Measure]) -> list[ExpectationResult]:
    made = [measure for measure in measures if measure.severity != "off"]
    return validate(as_row(made), [measure.check() for measure in made]) if made else []


def _check_class_sizes(classes: pd.DataFrame, bounds: Validation) -> Check:
    fewest = classes.iloc[int(classes["usable"].argmin())]
    least = bounds.min_images_per_class
    return Check(
        "class_size",
        "ExpectColumnValuesToBeBetween",
        {"column": "usable", "min_value": least},
        f"Every class has at least {least} usable images (validation.min_images_per_class)",
        f"the smallest, {fewest['class_name']}, has {fewest['usable']:,}",
        _tell_small_classes,
        "critical" if bounds.class_size == "critical" else "warning",
    )


def _tell_small_classes(rows: pd.DataFrame) -> str:
    examples = [_tell_small_class(row) for _, row in rows.sort_values(["usable", "class_name"]).iterrows()]
    mend = "Add images" if not rows["quarantined"].any() else "Mend the quarantined images, add others"
    return f"{shorten(examples)}. {mend}, leave the class out, or look whether its folder or label is misspelt"


def _tell_small_class(row: pd.Series) -> str:
    quarantined = f" ({row['quarantined']:,} quarantined)" if row["quarantined"] else ""
    return f"{row['class_name']} has {row['usable']:,}{quarantined}"
