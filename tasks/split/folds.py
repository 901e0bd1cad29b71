"""Folds of cross-validation: which training and validation images are held out together."""

import pandas as pd

from pipeline_config.errors import DataError
from pipeline_config.experiment import Split
from tasks.manifest import usable

_NAMED_CLASSES = 5  # as many as a sentence can bear


def assign_folds(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    """The manifest with `fold` filled in: 0..folds-1 for training and validation images, null for all others.

    Folds are scikit-learn's StratifiedGroupKFold, shuffled by `split.seed`: classes are spread as evenly as whole
    groups allow. The order of the rows changes nothing.

    Args:
        table: a manifest with splits.
        split: the experiment's section; without `folds` the column is all null.

    Raises:
        DataError: a class has fewer groups than there are folds, or groups so unequal that a fold goes without it.
    """
    fold = pd.Series(pd.NA, index=table.index, dtype="Int64")
    if split.folds:
        rows = usable(table)
        rows = rows[rows["split"].isin(["train", "validation"])].sort_values(["image_id", "label"])
        _check_groups(rows, split.folds)
        fold[rows.index] = _draw_folds(rows, split.folds, split.seed)
        _check_folds(rows["class_name"], fold[rows.index], split.folds)
    return table.assign(fold=fold)


def _draw_folds(rows: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    drawn = pd.Series(0, index=rows.index, dtype="Int64")
    for number, (_, held_out) in enumerate(splitter.split(rows, rows["label"], rows["group"])):
        drawn.iloc[held_out] = number
    return drawn


def _check_groups(rows: pd.DataFrame, folds: int) -> None:
    groups = rows.groupby("class_name")["group"].nunique()
    few = groups[groups < folds]
    if len(few):
        named = ", ".join(f"{name} ({count})" for name, count in few.head(_NAMED_CLASSES).items())
        raise DataError(
            f"split.folds: too few groups of near-duplicates among the training and validation images of {named}; "
            f"expected at least {folds} of every class, one for each fold; add images or ask for fewer folds"
        )


def _check_folds(class_names: pd.Series, fold: pd.Series, folds: int) -> None:
    present = pd.crosstab(class_names, fold).reindex(columns=range(folds), fill_value=0) > 0
    missing = present.index[~present.all(axis=1)]
    if len(missing):
        named = ", ".join(map(str, missing[:_NAMED_CLASSES]))
        raise DataError(
            f"split.folds: a fold of {folds} would hold no image of {named}, since groups of near-duplicates stay "
            "whole and are large or span classes here; ask for fewer folds"
        )
