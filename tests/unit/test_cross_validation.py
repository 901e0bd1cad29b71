"""Folds: every training and validation image is held out once, groups stay whole, test images are in none."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_config.errors import DataError
from pipeline_config.experiment import Split
from tasks.manifest import conform, digest
from tasks.split.assign import assign_splits
from tasks.split.folds import assign_folds
from tasks.train.cross_validation import summarise

quick = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def table(labels, groups=None, splits="train", status="ok"):
    """A manifest of these labels, each image a group of its own and for training unless told."""
    ids = [f"{number:04}" for number in range(len(labels))]
    return conform(
        pd.DataFrame(
            {
                "image_id": ids,
                "label": labels,
                "class_name": [f"class{label}" for label in labels],
                "group": ids if groups is None else [f"g{group}" for group in groups],
                "split": splits,
                "status": status,
                "bytes": 1,
            }
        )
    )


def fold_of(assigned):
    """image_id -> fold, of the images that have one."""
    return assigned.dropna(subset="fold").set_index("image_id")["fold"].astype(int).to_dict()


@st.composite
def parted_tables(draw):
    """Two or three classes of 15 to 20 groups of up to three images, some near-duplicates of another class, parted."""
    labels, groups = [], []
    for label in range(draw(st.integers(2, 3))):
        for number in range(draw(st.integers(15, 20))):
            size = draw(st.integers(1, 3))
            labels += [label] * size
            groups += [f"{label}-{number}" if number else "shared"] * size
    return assign_splits(table(labels, groups, None), Split(validation=0.2, test=3, seed=draw(st.integers(0, 100))))


@quick
@given(parted_tables(), st.sampled_from([2, 3, 5]), st.integers(0, 100))
def test_every_training_and_validation_image_is_in_one_fold_with_its_whole_group(manifest, folds, seed):
    assigned = assign_folds(manifest, Split(folds=folds, seed=seed))
    assert assigned["fold"].notna().equals(manifest["split"].isin(["train", "validation"]))
    assert set(assigned["fold"].dropna()) == set(range(folds))
    assert (assigned.groupby("group")["fold"].nunique(dropna=False) == 1).all()
    pd.testing.assert_frame_equal(assigned.drop(columns="fold"), manifest.drop(columns="fold"))


@quick
@given(parted_tables(), st.sampled_from([2, 3, 5]), st.integers(0, 100))
def test_order_of_the_rows_changes_no_fold(manifest, folds, seed):
    split = Split(folds=folds, seed=seed)
    shuffled = manifest.sample(frac=1, random_state=seed)
    expected = fold_of(assign_folds(manifest, split))
    assert fold_of(assign_folds(manifest, split)) == expected
    assert fold_of(assign_folds(shuffled, split)) == expected
    assert fold_of(assign_folds(shuffled.reset_index(drop=True), split)) == expected


def test_classes_are_spread_evenly_over_the_folds():
    assigned = assign_folds(table([0] * 100 + [1] * 20 + [2] * 10), Split(folds=5))
    counts = pd.crosstab(assigned["label"], assigned["fold"])
    assert counts.to_numpy().tolist() == [[20] * 5, [4] * 5, [2] * 5]


def test_seed_decides_the_folds():
    manifest = table([0] * 30 + [1] * 30)
    first, other = (fold_of(assign_folds(manifest, Split(folds=3, seed=seed))) for seed in (0, 1))
    assert first != other


@pytest.mark.parametrize("split", ["test", None])
def test_test_images_and_unused_ones_are_in_no_fold(split):
    assigned = assign_folds(table([0, 1] * 10, splits=["train"] * 16 + [split] * 4), Split(folds=2))
    assert assigned["fold"].isna().tolist() == [False] * 16 + [True] * 4


def test_quarantined_images_are_in_no_fold():
    assigned = assign_folds(table([0, 1] * 10, status=["ok"] * 16 + ["broken"] * 4), Split(folds=2))
    assert assigned["fold"].isna().tolist() == [False] * 16 + [True] * 4


def test_without_folds_the_column_is_empty_and_the_digest_what_it_was():
    manifest = table([0, 1] * 10)
    assigned = assign_folds(manifest.assign(fold=pd.array([1] * 20, dtype="Int64")), Split())
    assert assigned["fold"].isna().all()
    assert assigned["fold"].dtype == "Int64"
    assert digest(assigned) == digest(manifest)


def test_class_with_fewer_groups_than_folds_is_named_with_what_is_there():
    manifest = table([0] * 20 + [1] * 8 + [2] * 2, [*range(20), *[30, 31, 32, 33] * 2, 40, 41])
    with pytest.raises(DataError) as caught:
        assign_folds(manifest, Split(folds=5))
    assert str(caught.value) == (
        "split.folds: too few groups of near-duplicates among the training and validation images of class1 (4), class2 "
        "(2); expected at least 5 of every class, one for each fold; add images or ask for fewer folds"
    )
    assert set(fold_of(assign_folds(manifest, Split(folds=2)))) == set(manifest["image_id"])


def test_class_that_a_fold_goes_without_is_named():
    """A group of both classes and one of each: the fold without the first lacks a class."""
    manifest = table([0, 1, 0, 1], ["both", "both", "zero", "one"])
    with pytest.raises(DataError) as caught:
        assign_folds(manifest, Split(folds=2))
    assert str(caught.value) == (
        "split.folds: a fold of 2 would hold no image of class0, since groups of near-duplicates stay whole and are "
        "large or span classes here; ask for fewer folds"
    )


def test_summary_is_the_mean_and_the_sample_deviation_of_the_folds():
    accuracies, losses = [0.5, 0.75, 0.7], [1.0, 0.4, 0.3]
    figures = [
        {"chosen_val_accuracy": accuracy, "chosen_val_loss": loss, "chosen_epoch": 3.0}
        for accuracy, loss in zip(accuracies, losses, strict=True)
    ]
    assert summarise(figures) == {
        "cv_val_accuracy_mean": pytest.approx(np.mean(accuracies)),
        "cv_val_accuracy_std": pytest.approx(np.std(accuracies, ddof=1)),
        "cv_val_loss_mean": pytest.approx(np.mean(losses)),
        "cv_val_loss_std": pytest.approx(np.std(losses, ddof=1)),
    }
