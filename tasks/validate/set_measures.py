"""Numbers about the data set as a whole: classes, quarantine, duplicates, leakage, and what a test set can tell."""

import math

import pandas as pd

from pipeline_config.experiment import Severity, Validation
from tasks.manifest import usable
from tasks.validate.measures import Measure
from tasks.validate.wording import count_of, count_reasons, image_names, shorten

# Where a good model's accuracy often lies; at 0.5 the interval would be 1.7 times as wide, at 0.99 a third.
EXAMPLE_ACCURACY = 0.9
_TWO_SIDED_95 = 1.96


def class_measures(table: pd.DataFrame, classes: pd.DataFrame, bounds: Validation) -> list[Measure]:
    """Quarantined share, number of classes, imbalance.

    Args:
        table: the manifest.
        classes: one row a class, as `count_by_class` gives it.
    """
    return [_quarantined(table, bounds), _number_of_classes(classes, bounds), _imbalance(classes, bounds)]


def count_by_class(table: pd.DataFrame, class_names: tuple[str, ...]) -> pd.DataFrame:
    """One row a class: class_name, usable and quarantined images."""
    labels = range(len(class_names))
    usable_images = usable(table)["label"].value_counts().reindex(labels, fill_value=0)
    listed = table["label"].value_counts().reindex(labels, fill_value=0)
    return pd.DataFrame({"class_name": class_names, "usable": usable_images, "quarantined": listed - usable_images})


def duplicate_measures(table: pd.DataFrame, pairs: pd.DataFrame, bounds: Validation) -> list[Measure]:
    """Equal and nearly equal images, within a class and across classes.

    Args:
        table: the manifest, index 0..n-1.
        pairs: as in `tasks.validate.checked.CheckedData`.
    """
    across = table["label"].to_numpy()[pairs["first"]] != table["label"].to_numpy()[pairs["second"]]
    exact = (pairs["kind"] == "exact").to_numpy()
    return [
        _pairs(
            *("duplicates", bounds.duplicates, table, pairs[exact & ~across]),
            "No two images of a class have the same pixels",
            "One of each is kept, the others are quarantined",
        ),
        _pairs(
            *("conflicting_labels", bounds.conflicting_labels, table, pairs[exact & across]),
            "No picture is filed under two classes",
            "All copies are quarantined; delete the wrong ones, or go on without them by "
            "--set validation.conflicting_labels=warning",
        ),
        _pairs(
            *("near_duplicates", bounds.near_duplicates, table, pairs[~exact & ~across]),
            "No two images of a class are nearly the same",
            "Splits keep them together",
        ),
        _pairs(
            *("near_conflicts", bounds.near_conflicts, table, pairs[~exact & across]),
            "No two images that are nearly the same are filed under two classes",
            "Look at them in the report, and correct the wrong label",
        ),
    ]


def leakage_measure(table: pd.DataFrame, leaks: pd.DataFrame, share: float, bounds: Validation) -> Measure:
    """The share of the given test images that are, or nearly are, training images.

    Args:
        table: the manifest, index 0..n-1.
        leaks: columns `row` and `test_row`, as `tasks.validate.leakage.leaking_rows` gives them.
        share: of the test images, 0..1.
    """
    pairs = leaks.rename(columns={"row": "first", "test_row": "second"})
    named = f": {_tell_pairs(table, pairs)}" if len(pairs) else ""
    dropped = bounds.drop_leaking and bounds.leakage != "off"
    return Measure(
        name="leakage",
        severity="warning" if dropped else bounds.leakage,
        value=share,
        most=bounds.max_leakage,
        expected=f"At most {bounds.max_leakage:.2%} of the test images are, or nearly are, training images "
        "(validation.max_leakage)",
        received=f"{share:.2%} are{named}",
        mend="The training images are quarantined (validation.drop_leaking)"
        if dropped
        else "Quarantine the training images with --set validation.drop_leaking=true, or delete them",
    )


def precision_measure(table: pd.DataFrame, bounds: Validation) -> Measure:
    """Half the width of the 95 % interval of an accuracy of 0.9 on the test images: Wald's normal approximation.

    Args:
        table: the manifest with its splits.
    """
    tests = usable(table, "test")
    width = half_interval(len(tests))
    counts = tests["class_name"].value_counts()
    smallest = counts.index[-1] if len(counts) else "none"
    of_class = half_interval(int(counts.iloc[-1]) if len(counts) else 0)
    needed = math.ceil(EXAMPLE_ACCURACY * (1 - EXAMPLE_ACCURACY) * (_TWO_SIDED_95 / bounds.max_interval) ** 2)
    return Measure(
        name="test_precision",
        severity=bounds.test_precision,
        value=width,
        most=bounds.max_interval,
        expected=f"The test images tell an accuracy of {EXAMPLE_ACCURACY:g} to within ±{bounds.max_interval:g} "
        "(validation.max_interval)",
        received=f"{len(tests):,} test images tell it to ±{width:.3f}, and the recall of {smallest}, the class "
        f"with the fewest, to ±{of_class:.3f}: smaller differences between models are chance",
        mend=f"It takes {needed:,} test images; add images or a larger split.test",
    )


def half_interval(images: int) -> float:
    """Half the width of the 95 % interval of an accuracy of 0.9 measured on so many images; at most 1."""
    return min(1.0, _TWO_SIDED_95 * math.sqrt(EXAMPLE_ACCURACY * (1 - EXAMPLE_ACCURACY) / images)) if images else 1.0


def _quarantined(table: pd.DataFrame, bounds: Validation) -> Measure:
    count, total = int((table["status"] != "ok").sum()), len(table)
    received = f"{count:,} of {total:,} are" + (f" ({count / total:.2%})" if total else "")
    reasons = shorten([f"{images:,} {kind}" for kind, images in count_reasons(table).items()])
    return Measure(
        name="quarantined",
        severity=bounds.quarantined,
        value=count / total if total else 0.0,
        most=bounds.max_quarantined,
        expected=f"At most {bounds.max_quarantined:.2%} of the images are quarantined (validation.max_quarantined)",
        received=f"{received}: {reasons}" if reasons else received,
        mend="Mend or remove those files, or raise the bound if they may be left out",
    )


def _number_of_classes(classes: pd.DataFrame, bounds: Validation) -> Measure:
    present = list(classes.loc[classes["usable"] > 0, "class_name"])
    received = f"{len(present)} of {len(classes)} classes have images" + (f": {shorten(present)}" if present else "")
    return Measure(
        name="number_of_classes",
        severity=bounds.number_of_classes,
        value=len(present),
        least=2,
        expected="At least 2 classes have usable images",
        received=received,
        mend="With fewer there is nothing to tell apart: add images of another class, or look whether the path or a "
        "column is the right one",
    )


def _imbalance(classes: pd.DataFrame, bounds: Validation) -> Measure:
    present = classes[classes["usable"] > 0].sort_values(["usable", "class_name"])
    ends = (present.iloc[-1], present.iloc[0]) if len(present) else ()
    sizes = present["usable"]
    return Measure(
        name="imbalance",
        severity=bounds.imbalance,
        value=float(sizes.max() / sizes.min()) if len(present) else 1.0,
        most=bounds.max_imbalance,
        expected=f"The largest class has at most {bounds.max_imbalance:g} times the images of the smallest "
        "(validation.max_imbalance)",
        received=" to ".join(f"{row['usable']:,} ({row['class_name']})" for row in ends) or "there are no images",
        mend="Judge the models by test_macro_f1 rather than accuracy, or add images to the small classes",
    )


def _pairs(
    name: str, severity: Severity, table: pd.DataFrame, pairs: pd.DataFrame, expected: str, mend: str
) -> Measure:
    """A measure of pairs, of which there should be none."""
    received = f"{count_of(len(pairs), 'pair')}: {_tell_pairs(table, pairs)}" if len(pairs) else "so it is"
    return Measure(name, severity, len(pairs), expected, received, mend, most=0)


def _tell_pairs(table: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """`cat/1.png and dog/7.png (cat, dog), … and 3 more`."""
    shown = pairs.head(5)
    first, second = table.loc[shown["first"]], table.loc[shown["second"]]
    columns = (image_names(first), image_names(second), first["class_name"], second["class_name"])
    told = [
        f"{one} and {other}" + (f" ({a}, {b})" if a != b else "") for one, other, a, b in zip(*columns, strict=True)
    ]
    return shorten(told, len(pairs))
