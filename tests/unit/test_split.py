"""Which image falls where: disjoint, complete, the same everywhere, and never through a group."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Split
from tasks.manifest import SPLITS, conform
from tasks.split.assign import assign_splits

quick = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def table(labels, groups=None, given_splits=None, status="ok"):
    """A manifest of these labels; groups of their own and no given split unless told."""
    ids = [f"{number:04}" for number in range(len(labels))]
    return conform(
        pd.DataFrame(
            {
                "image_id": ids,
                "label": labels,
                "class_name": [f"class{label}" for label in labels],
                "group": ids if groups is None else [f"g{group}" for group in groups],
                "split": given_splits,
                "status": status,
                "bytes": 1,
            }
        )
    )


def split_of(assigned):
    """image_id -> split, null as None."""
    splits = assigned.set_index("image_id")["split"]
    return {image_id: None if pd.isna(name) else name for image_id, name in splits.items()}


def counts(assigned):
    """(label, split) -> number of images."""
    return assigned.groupby(["label", "split"]).size().to_dict()


@st.composite
def grouped_tables(draw):
    """Two or three classes of 12 to 40 images, in groups of up to three of one class."""
    labels, groups = [], []
    for label in range(draw(st.integers(2, 3))):
        sizes = draw(st.lists(st.integers(1, 3), min_size=12, max_size=14))
        for number, size in enumerate(sizes):
            labels += [label] * size
            groups += [f"{label}-{number}"] * size
    return table(labels, groups)


parts = st.sampled_from([0.15, 0.25, 0.3, 3, 4])


@quick
@given(grouped_tables(), parts, parts, st.integers(0, 100))
def test_splits_are_complete_and_part_no_group(manifest, validation, test, seed):
    assigned = assign_splits(manifest, Split(validation=validation, test=test, seed=seed))
    assert set(assigned["split"]) == set(SPLITS)
    assert (assigned.groupby("group")["split"].nunique() == 1).all()
    assert counts(assigned).keys() == {(label, name) for label in set(manifest["label"]) for name in SPLITS}


@quick
@given(grouped_tables(), parts, parts)
def test_nothing_but_the_split_is_changed(manifest, validation, test):
    assigned = assign_splits(manifest, Split(validation=validation, test=test))
    pd.testing.assert_frame_equal(assigned.drop(columns="split"), manifest.drop(columns="split"))
    assert manifest["split"].isna().all()


@quick
@given(grouped_tables(), st.integers(0, 100))
def test_order_of_the_rows_changes_nothing(manifest, seed):
    shuffled = manifest.sample(frac=1, random_state=seed)
    split = Split(validation=0.2, test=3, seed=seed)
    assert split_of(assign_splits(shuffled.reset_index(drop=True), split)) == split_of(assign_splits(manifest, split))
    assert split_of(assign_splits(shuffled, split)) == split_of(assign_splits(manifest, split))


@quick
@given(grouped_tables(), parts, parts)
def test_a_part_is_never_larger_than_asked_for_and_short_of_it_by_less_than_a_group(manifest, validation, test):
    assigned = assign_splits(manifest, Split(validation=validation, test=test))
    taken = counts(assigned)
    for label, images in manifest["label"].value_counts().items():
        for name, part in (("validation", validation), ("test", test)):
            asked = part if isinstance(part, int) else max(1, round(part * images))
            assert asked - 3 < taken[label, name] <= asked


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (Split(), {"train": 70, "validation": 15, "test": 15}),
        (Split(validation=0.1, test=0.3), {"train": 60, "validation": 10, "test": 30}),
        (Split(validation=7, test=0.2), {"train": 73, "validation": 7, "test": 20}),
        (Split(validation=7, test=9, train=20), {"train": 20, "validation": 7, "test": 9}),
        (Split(validation=0.001, test=0.001), {"train": 98, "validation": 1, "test": 1}),
    ],
)
def test_fractions_and_counts_hold_in_every_class(split, expected):
    assigned = assign_splits(table([0] * 100 + [1] * 100), split)
    assert counts(assigned) == {(label, name): size for label in (0, 1) for name, size in expected.items()}


def test_rare_class_is_parted_like_a_frequent_one():
    assigned = assign_splits(table([0] * 200 + [1] * 20), Split(validation=0.1, test=0.2))
    assert counts(assigned) == {
        (0, "train"): 140, (0, "validation"): 20, (0, "test"): 40,
        (1, "train"): 14, (1, "validation"): 2, (1, "test"): 4,
    }  # fmt: skip


def test_seed_decides_who_falls_where():
    manifest = table([0] * 30 + [1] * 30)
    first, again, other = (split_of(assign_splits(manifest, Split(seed=seed))) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_images_fall_the_same_way_on_every_machine():
    assigned = split_of(assign_splits(table([0] * 10 + [1] * 10), Split(validation=2, test=2)))
    assert [image_id for image_id, name in assigned.items() if name == "test"] == ["0002", "0004", "0015", "0019"]


def test_new_images_leave_the_old_ones_in_a_fixed_order():
    """More images of one class do not move those of another."""
    small = split_of(assign_splits(table([0] * 20 + [1] * 20), Split()))
    large = split_of(assign_splits(table([0] * 20 + [1] * 40), Split()))
    first_class = [f"{number:04}" for number in range(20)]
    assert [small[image_id] for image_id in first_class] == [large[image_id] for image_id in first_class]


def test_images_over_the_training_count_are_used_for_nothing():
    assigned = assign_splits(table([0] * 50 + [1] * 50), Split(train=5, validation=3, test=2))
    assert assigned["split"].isna().sum() == 80


def test_quarantined_images_get_no_split_and_count_for_nothing():
    status = ["broken"] * 10 + ["ok"] * 40
    assigned = assign_splits(table([0] * 30 + [1] * 20, status=status), Split(validation=0.25, test=0.25))
    assert assigned.loc[assigned["status"] == "broken", "split"].isna().all()
    assert {counts(assigned)[label, name] for label in (0, 1) for name in ("validation", "test")} == {5}


def test_quarantined_image_loses_its_given_split():
    given_splits = ["test"] * 6 + ["train"] * 14
    status = ["broken"] + ["ok"] * 19
    labels = [0] * 3 + [1] * 3 + [0] * 7 + [1] * 7
    assigned = assign_splits(table(labels, None, given_splits, status), Split(validation=2, test="given"))
    assert split_of(assigned)["0000"] is None


def test_group_of_two_classes_is_not_parted():
    """Near-duplicates may be filed under different classes."""
    labels = [number % 2 for number in range(80)]
    groups = [number // 2 for number in range(80)]
    assigned = assign_splits(table([*labels, *[0] * 20], [*groups, *range(100, 120)]), Split(validation=0.3, test=0.3))
    assert (assigned.groupby("group")["split"].nunique() == 1).all()


# Given splits


def given_table(*names):
    """Two classes; of each so many images of every given split as `(name, count)` says."""
    labels = [label for label in (0, 1) for _, count in names for _ in range(count)]
    return table(labels, None, [name for _ in (0, 1) for name, count in names for _ in range(count)])


def test_given_test_split_is_kept_and_validation_is_cut_from_train():
    manifest = given_table(("train", 20), ("test", 10))
    assigned = assign_splits(manifest, Split(validation=0.25, test="given"))
    assert (assigned["split"] == "test").equals(manifest["split"] == "test")
    assert counts(assigned)[0, "validation"] == 5
    assert counts(assigned)[0, "train"] == 15


def test_given_validation_and_test_are_kept():
    manifest = given_table(("train", 8), ("validation", 3), ("test", 2))
    assigned = assign_splits(manifest, Split(validation="given", test="given"))
    pd.testing.assert_series_equal(assigned["split"], manifest["split"])


def test_given_validation_is_kept_and_test_is_cut_from_train():
    manifest = given_table(("train", 10), ("validation", 3))
    assigned = assign_splits(manifest, Split(validation="given", test=0.2))
    assert counts(assigned)[1, "test"] == 2
    assert (assigned["split"] == "validation").equals(manifest["split"] == "validation")


def test_training_count_limits_given_training_images():
    assigned = assign_splits(given_table(("train", 10), ("test", 3)), Split(validation=2, test="given", train=4))
    assert counts(assigned)[0, "train"] == 4
    assert counts(assigned)[0, "test"] == 3


@pytest.mark.parametrize("name", ["validation", "test"])
def test_given_split_that_is_not_there_is_told(name):
    with pytest.raises(ConfigurationError) as caught:
        assign_splits(table([0] * 20 + [1] * 20), Split(**{name: "given"}))
    assert str(caught.value) == (
        f"split.{name}: the data set gives no {name} split; expected a fraction, as 0.15, or a count"
    )


@pytest.mark.parametrize("asked", [0.15, 3])
def test_published_test_split_is_not_parted_anew(asked):
    with pytest.raises(ConfigurationError) as caught:
        assign_splits(given_table(("train", 20), ("test", 10)), Split(test=asked))
    assert str(caught.value).startswith("split.test: the data set gives its own test split of 20 images, which is kept")
    assert str(caught.value).endswith(f"set split.test=given instead of {asked}")


def test_given_split_of_quarantined_images_alone_is_not_there():
    manifest = given_table(("train", 10), ("test", 5))
    manifest.loc[manifest["split"] == "test", "status"] = "broken"
    with pytest.raises(ConfigurationError, match="gives no test split"):
        assign_splits(manifest, Split(test="given"))


@pytest.mark.parametrize(
    ("labels", "split", "missing"),
    [
        ([0] * 20 + [1] * 2, Split(), "no train images for class1"),
        ([0] * 20 + [1] * 4, Split(validation=2, test=2), "no train images for class1"),
        ([0] * 20 + [1] * 4, Split(validation=2, test=5), "no train images for class1"),
        ([0] * 20 + [1] * 1, Split(), "no train images for class1"),
    ],
)
def test_class_with_too_few_images_is_named(labels, split, missing):
    with pytest.raises(DataError, match=missing):
        assign_splits(table(labels), split)


def test_class_that_the_given_test_split_lacks_is_named():
    manifest = table([0] * 10 + [1] * 10, None, ["train"] * 7 + ["test"] * 3 + ["train"] * 10)
    with pytest.raises(DataError, match="no test images for class1; expected at least one of each class"):
        assign_splits(manifest, Split(test="given"))


@pytest.mark.parametrize("seed", range(3))
def test_group_larger_than_every_part_goes_to_training(seed):
    manifest = table([0] * 20 + [1] * 20, [0] * 10 + list(range(1, 31)))
    assigned = assign_splits(manifest, Split(validation=3, test=3, seed=seed))
    assert set(assigned.loc[assigned["group"] == "g0", "split"]) == {"train"}
