"""Which image is for training, which for validation, which for testing.

Every image has a draw, a hash of the seed and its id; a group of near-duplicates has the least of its images' draws.
Low draws are for testing, the next for validation, high ones for training. So the same images fall the same way on
every machine and in every row order, and groups are never parted.

Where parts are fractions, a draw alone decides, and images that are added later move none of those that are there. Two
things can: an image that joins or merges groups moves them from training towards test, never back; and in a class so
small that its draws leave a part empty, or too little for a count beside the fractions, the groups that stand in go
back when there are enough. Counts are taken in the order of the draws, and so every image that is added can move
another.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Split
from tasks.manifest import SPLITS
from tasks.split.counts import take_counts
from tasks.split.fractions import REST, take_fractions
from tasks.split.groups import Group, draw_groups

_NAMED_CLASSES = 3  # as many as a sentence can bear


def assign_splits(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    """The manifest with `split` filled in: train, validation or test; null for quarantined images.

    Rows of a given validation or test split stay there, and do not draw other images of their group after them; those
    are drawn together, as a group of their own. Where counts for each class leave images over, those keep a null
    split and are used for nothing.

    Args:
        table: a manifest; its `split` holds the given split, or null.
        split: the experiment's section.

    Raises:
        ConfigurationError: `given` is asked for and none is there, or a published test split would be parted anew.
        DataError: a class has too few images for its parts, or the same image is given in two of them.
    """
    rows = table[table["status"] == "ok"]
    given = rows["split"]
    _check_given(given, split)
    kept = given[given.isin(["validation", "test"])]
    groups = draw_groups(rows.drop(kept.index), split.seed)
    drawn = {row: name for name, taken in _draw_parts(groups, split) for group in taken for row in group.rows}
    assigned = pd.Series({**kept.to_dict(), **drawn}, dtype="str").reindex(table.index)
    _check_sizes(rows, assigned, split)
    _check_disjoint(rows, assigned)
    return table.assign(split=assigned)


def _check_given(given: pd.Series, split: Split) -> None:
    present = set(given.dropna())
    for name in ("validation", "test"):
        asked = getattr(split, name)
        if asked == "given" and name not in present:
            raise ConfigurationError(
                f"split.{name}: the data set gives no {name} split; expected a fraction, as 0.15, or a count"
            )
        if asked != "given" and name in present:
            raise ConfigurationError(
                f"split.{name}: the data set gives its own {name} split of {int((given == name).sum())} images, which "
                f"is kept so that results compare; set split.{name}=given instead of {asked}"
            )


def _draw_parts(groups: Sequence[Group], split: Split) -> Iterator[tuple[str, list[Group]]]:
    """Every part with its groups; groups by rising draw. Fractions first, since counts must not move them."""
    fractions = _fractions(split)
    parts = take_fractions(groups, fractions, _rest(split))
    for name in fractions:
        yield name, [group for group in groups if parts[group.name] == name]
    left = [group for group in groups if parts[group.name] == REST]
    for name in ("test", "validation"):
        if name not in fractions:
            taken = take_counts(left, _sizes(getattr(split, name), groups))
            yield name, taken
            left = _without(left, taken)
    # From the top, where no other part begins: a larger part below then moves fewer training images.
    yield "train", left if split.train is None else take_counts(reversed(left), _sizes(split.train, groups))


def _fractions(split: Split) -> dict[str, float]:
    """The parts that draws alone decide. A share of validation above a count of test begins at no fixed draw."""
    asked: dict[str, int | float | str] = {"test": split.test}
    if not isinstance(split.test, int):
        asked["validation"] = split.validation
    return {name: part for name, part in asked.items() if isinstance(part, float)}


def _rest(split: Split) -> int:
    """Images of each class that the fractions must leave over: what the counts ask for, and one to train with."""
    counts = [part for part in (split.test, split.validation, split.train or 1) if isinstance(part, int)]
    return sum(counts)


def _sizes(part: int | float | str, groups: Sequence[Group]) -> dict[int, int]:
    """Label -> number of images to take; a fraction gives at least one."""
    images: Counter[int] = Counter()
    for group in groups:
        images.update(group.labels)
    if isinstance(part, float):
        return {label: max(1, round(part * count)) for label, count in images.items()}
    return dict.fromkeys(images, 0 if part == "given" else int(part))


def _without(groups: Sequence[Group], taken: Sequence[Group]) -> list[Group]:
    names = {group.name for group in taken}
    return [group for group in groups if group.name not in names]


def _check_sizes(rows: pd.DataFrame, assigned: pd.Series, split: Split) -> None:
    """Refuse a class without images of a part, or with fewer training images than asked for and none left over."""
    found = assigned[rows.index].fillna("unused")
    counts = pd.crosstab(rows["class_name"], found).reindex(columns=[*SPLITS, "unused"], fill_value=0)
    short = (counts[list(SPLITS)] == 0).any(axis=1)
    if split.train is not None:
        short |= (counts["train"] < split.train) & (counts["unused"] == 0)
    if short.any():
        named = counts.index[short][:_NAMED_CLASSES]
        there = "; ".join(
            f"{name} ({counts.loc[name].sum()} in all) gets {_listed(counts.loc[name])}" for name in named
        )
        more = f"; and {short.sum() - len(named)} classes more" if short.sum() > len(named) else ""
        train = "all that are left" if split.train is None else split.train
        raise DataError(
            f"split: too few images: {there}{more}; expected train {train}, validation {split.validation}, test "
            f"{split.test}, and at least one of each; add images to these classes or ask for smaller parts"
        )


def _check_disjoint(rows: pd.DataFrame, assigned: pd.Series) -> None:
    """Refuse given splits that share pictures, as a validation set that is the test set, whatever checks are off."""
    parts = assigned[rows.index].groupby(rows["image_id"]).nunique()
    shared = parts.index[parts > 1]
    if len(shared):
        copies = rows[rows["image_id"] == shared[0]]
        names = copies["path"].fillna("index " + copies["index"].astype("str"))
        raise DataError(
            f"split: expected every picture in one of the given splits; {len(shared)} are in two, as "
            f"{' and '.join(names)}, in {' and '.join(assigned[copies.index])}; take them out of one, or set "
            "validation.duplicates to warning, which keeps the copy in the test split alone"
        )


def _listed(counts: pd.Series) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in SPLITS)
