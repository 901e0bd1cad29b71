"""What the three forms of the report count: classes, pairs of duplicates, findings."""

import pandas as pd

from tasks.manifest import SPLITS, usable
from tasks.validate.checked import CheckedData
from tasks.validate.wording import image_names

NO_SPLIT = "none given"
# In the order of concern: which of two labels is right, whether the test is fair, and what merely repeats itself.
RELATIONS = ("two classes", "two splits", "one class")


def count_classes(table: pd.DataFrame, class_names: tuple[str, ...]) -> pd.DataFrame:
    """One row a class, in label order: class_name, listed, quarantined, usable, and the usable ones by split."""
    rows = usable(table)
    by_split = pd.crosstab(rows["label"], rows["split"].fillna(NO_SPLIT))
    listed, kept = (some["label"].value_counts() for some in (table, rows))
    labels = range(len(class_names))
    counts = pd.DataFrame({"listed": listed, "quarantined": listed.sub(kept, fill_value=0), "usable": kept})
    counts = counts.join(by_split).reindex(index=labels, columns=[*counts.columns, *splits_of(rows)])
    counts = counts.fillna(0).astype(int)
    counts.insert(0, "class_name", list(class_names))
    return counts


def splits_of(rows: pd.DataFrame) -> list[str]:
    """The splits that the rows have, in the usual order; `none given` stands for null."""
    present = set(rows["split"].fillna(NO_SPLIT))
    return [split for split in (*SPLITS, NO_SPLIT) if split in present]


def rank_pairs(data: CheckedData) -> pd.DataFrame:
    """The pairs with `relation` (one of `RELATIONS`), in the order of concern, then exact ones, then the nearest."""
    first, second = (data.table.loc[data.pairs[side], ["label", "split"]] for side in ("first", "second"))
    across_classes = first["label"].to_numpy() != second["label"].to_numpy()
    splits = [side["split"].fillna("").to_numpy() for side in (first, second)]
    across_splits = (splits[0] != splits[1]) & (splits[0] != "") & (splits[1] != "")
    relation = pd.Series("one class", index=data.pairs.index)
    relation = relation.mask(across_splits, "two splits").mask(across_classes, "two classes")
    ordered = data.pairs.assign(relation=pd.Categorical(relation, RELATIONS, ordered=True))
    return ordered.sort_values(["relation", "kind", "distance", "first", "second"]).reset_index(drop=True)


def count_pairs(pairs: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Of ranked pairs: relation -> kind -> how many there are."""
    counts = {relation: pairs.loc[pairs["relation"] == relation, "kind"].value_counts() for relation in RELATIONS}
    return {
        relation: {kind: int(of[kind]) for kind in ("exact", "near") if kind in of} for relation, of in counts.items()
    }


def describe_findings(data: CheckedData) -> pd.DataFrame:
    """The findings with `name` and `class_name` of their images, those of the most frequent check first."""
    rows = data.table.loc[data.findings["row"]]
    named = data.findings.assign(name=image_names(rows).to_numpy(), class_name=rows["class_name"].to_numpy())
    frequency = -named.groupby("check")["check"].transform("size") if len(named) else 0
    ordered = named.assign(frequency=frequency).sort_values(["frequency", "check", "row"])
    return ordered.drop(columns="frequency").reset_index(drop=True)
