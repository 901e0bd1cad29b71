"""Which image falls where: disjoint, complete, the same everywhere, stable under growth, never through a group."""

import hashlib
import math
from collections import Counter
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Split
from tasks.manifest import SPLITS, conform
from tasks.split.assign import assign_splits
from tasks.split.fractions import REST, take_fractions
from tasks.split.groups import DRAWS, Group

quick = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
TOWARDS_TEST = {"train": 0, "validation": 1, "test": 2}


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


def draws_of(manifest, seed):
    """group -> its draw, 0 to 1, by the words of the module."""
    draws = {}
    for image_id, group in zip(manifest["image_id"], manifest["group"], strict=True):
        drawn = Fraction(int(hashlib.sha256(f"{seed}:{image_id}".encode()).hexdigest(), 16), 2**256)
        draws[group] = min(drawn, draws.get(group, drawn))
    return draws


def by_draw(manifest, split):
    """image_id -> split, when nothing but the draws decide."""
    test = Fraction(str(split.test))
    held_out = test + Fraction(str(split.validation))
    draws = draws_of(manifest, split.seed)
    names = {
        group: "test" if draw < test else "validation" if draw < held_out else "train" for group, draw in draws.items()
    }
    return {image_id: names[group] for image_id, group in zip(manifest["image_id"], manifest["group"], strict=True)}


def every_class_has_every_part(manifest, splits):
    parts = manifest["image_id"].map(splits).groupby(manifest["label"]).nunique()
    return bool((parts == len(SPLITS)).all())


@st.composite
def grouped_tables(draw, fewest=12, most=14):
    """Two or three classes of so many groups of up to three images of one class."""
    labels, names = [], []
    for label in range(draw(st.integers(2, 3))):
        for number in range(draw(st.integers(fewest, most))):
            size = draw(st.integers(1, 3))
            labels += [label] * size
            names += [f"{label}-{number}"] * size
    return table(labels, names)


fractions = st.sampled_from([0.1, 0.15, 0.25, 0.3])
parts = st.one_of(fractions, st.sampled_from([3, 4]))


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
@given(grouped_tables(), parts, parts, st.integers(0, 100))
def test_order_of_the_rows_changes_nothing(manifest, validation, test, seed):
    shuffled = manifest.sample(frac=1, random_state=seed)
    split = Split(validation=validation, test=test, seed=seed)
    assert split_of(assign_splits(shuffled.reset_index(drop=True), split)) == split_of(assign_splits(manifest, split))
    assert split_of(assign_splits(shuffled, split)) == split_of(assign_splits(manifest, split))


# Fractions: by each group's own draw


@quick
@given(grouped_tables(30, 40), fractions, fractions, st.integers(0, 100))
def test_a_fraction_is_taken_of_the_draws(manifest, validation, test, seed):
    split = Split(validation=validation, test=test, seed=seed)
    expected = by_draw(manifest, split)
    assume(every_class_has_every_part(manifest, expected))
    assert split_of(assign_splits(manifest, split)) == expected


@st.composite
def grown_tables(draw):
    """A manifest, and the same with new images: each alone, in a group that is there, or between two of them."""
    before = draw(grouped_tables(25, 30))
    groups = before["group"].tolist()
    joined = draw(st.lists(st.sets(st.sampled_from(sorted(set(groups))), max_size=2), min_size=1, max_size=12))
    labels, merged = before["label"].tolist(), {name: name for name in groups}
    for number, old in enumerate(joined):
        together = {merged[name] for name in old}
        merged = {name: f"new{number}" if group in together else group for name, group in merged.items()}
        merged[f"new{number}"] = f"new{number}"
        groups.append(f"new{number}")
        labels.append(draw(st.integers(0, 1)))
    return before, table(labels, [merged[name] for name in groups])


@settings(quick, max_examples=60)
@given(grown_tables(), fractions, fractions, st.integers(0, 1000))
def test_images_that_join_groups_move_others_towards_test_or_not_at_all(tables, validation, test, seed):
    before, after = tables
    split = Split(validation=validation, test=test, seed=seed)
    assume(all(every_class_has_every_part(manifest, by_draw(manifest, split)) for manifest in tables))
    old, new = (split_of(assign_splits(manifest, split)) for manifest in tables)
    assert all(TOWARDS_TEST[new[image_id]] >= TOWARDS_TEST[name] for image_id, name in old.items())
    of_old = set(before["group"])
    untouched = {image_id for image_id, group in zip(after["image_id"], after["group"], strict=True) if group in of_old}
    assert {image_id: new[image_id] for image_id in untouched & old.keys()} == {
        image_id: name for image_id, name in old.items() if image_id in untouched
    }


def test_image_that_joins_can_take_a_training_image_to_test():
    labels = [0] * 300 + [1] * 300
    alone = [str(number) for number in range(600)]
    draws = draws_of(table(labels), 0)
    highest, lowest = int(max(draws, key=draws.get)), int(min(draws, key=draws.get))
    together = [*alone[:lowest], str(highest), *alone[lowest + 1 :]]
    found = [split_of(assign_splits(table(labels, groups), Split()))[f"{highest:04}"] for groups in (alone, together)]
    assert found == ["train", "test"]


@quick
@given(grouped_tables(25, 30), st.integers(1, 60), fractions, fractions, st.integers(0, 1000))
def test_images_that_join_no_group_move_nothing(before, newcomers, validation, test, seed):
    split = Split(validation=validation, test=test, seed=seed)
    assume(every_class_has_every_part(before, by_draw(before, split)))
    labels = [*before["label"], *(number % 2 for number in range(newcomers))]
    after = table(labels, [*before["group"], *(f"new{number}" for number in range(newcomers))])
    old, new = split_of(assign_splits(before, split)), split_of(assign_splits(after, split))
    assert {image_id: new[image_id] for image_id in old} == old


@quick
@given(st.integers(0, 10_000), fractions, fractions)
def test_shares_are_right_to_within_chance(seed, validation, test):
    images = 2_000
    found = Counter(
        split_of(assign_splits(table([0] * images), Split(validation=validation, test=test, seed=seed))).values()
    )
    for name, share in (("validation", validation), ("test", test), ("train", 1 - validation - test)):
        assert abs(found[name] - share * images) < 4.5 * math.sqrt(images * share * (1 - share))


def test_fractions_are_what_they_read_as_and_end_where_the_next_begins():
    """0.1 + 0.2 of floats is more than 0.3."""
    tenth, three_tenths = math.ceil(Fraction(1, 10) * DRAWS), math.ceil(Fraction(3, 10) * DRAWS)
    draws = [0, tenth - 1, tenth, three_tenths - 1, three_tenths, DRAWS - 1]
    groups = [Group(f"g{number}", draw, (number,), Counter([0])) for number, draw in enumerate(draws)]
    parts = take_fractions(groups, {"test": 0.1, "validation": 0.2}, rest=1)
    assert list(parts.values()) == ["test", "test", "validation", "validation", REST, REST]


@settings(quick, max_examples=60)
@given(st.integers(3, 9), fractions, fractions, st.integers(0, 1000))
def test_small_class_has_every_part_by_one_group_that_stands_in(images, validation, test, seed):
    manifest = table([0] * 60 + [1] * images)
    split = Split(validation=validation, test=test, seed=seed)
    assume(every_class_has_every_part(manifest[:60], by_draw(manifest[:60], split)))
    own = manifest[60:]
    drawn = Counter(by_draw(own, split).values())
    first = min(max(drawn["test"], 1), images - 2)
    second = min(max(drawn["test"] + drawn["validation"], first + 1), images - 1)
    draws = draws_of(own, seed)
    assigned = split_of(assign_splits(manifest, split))
    by_rising_draw = [assigned[image_id] for image_id in sorted(own["image_id"], key=draws.get)]
    assert by_rising_draw == ["test"] * first + ["validation"] * (second - first) + ["train"] * (images - second)
    assert {image_id: assigned[image_id] for image_id in manifest["image_id"][:60]} == by_draw(manifest[:60], split)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("split", [{"validation": 0.3, "test": 3}, {"validation": 3, "test": 0.3}])
def test_small_class_has_what_counts_ask_for_beside_a_fraction(split, seed):
    assigned = assign_splits(table([0] * 20 + [1] * 6), Split(**split, seed=seed))
    for label in (0, 1):
        assert all(counts(assigned)[label, name] >= 1 for name in SPLITS)
        assert all(counts(assigned)[label, name] == part for name, part in split.items() if part == 3)


# Counts: exact


@quick
@given(st.integers(9, 30), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_counts_of_single_images_are_exact_and_in_the_order_of_the_draws(images, validation, test, seed):
    manifest = table([0] * images + [1] * 40)
    draws = draws_of(manifest, seed)
    assigned = split_of(assign_splits(manifest, Split(validation=validation, test=test, train=1, seed=seed)))
    for own in (manifest["image_id"][:images], manifest["image_id"][images:]):
        unused = [None] * (len(own) - validation - test - 1)
        by_rising_draw = [assigned[image_id] for image_id in sorted(own, key=draws.get)]
        assert by_rising_draw == ["test"] * test + ["validation"] * validation + unused + ["train"]


@quick
@given(grouped_tables(), st.sampled_from([3, 4, 5]), st.sampled_from([3, 4]))
def test_a_count_is_never_exceeded_and_missed_by_less_than_a_group(manifest, validation, test):
    taken = counts(assign_splits(manifest, Split(validation=validation, test=test, train=3)))
    for label in set(manifest["label"]):
        for name, asked in (("validation", validation), ("test", test), ("train", 3)):
            assert asked - 3 < taken[label, name] <= asked


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (Split(validation=7, test=9), {"train": 84, "validation": 7, "test": 9}),
        (Split(validation=7, test=9, train=20), {"train": 20, "validation": 7, "test": 9}),
        (Split(validation=0.1, test=9), {"train": 81, "validation": 10, "test": 9}),
        (Split(validation=0.001, test=9), {"train": 90, "validation": 1, "test": 9}),
        (Split(validation=0.001, test=0.001), {"train": 98, "validation": 1, "test": 1}),
    ],
)
def test_counts_hold_in_every_class(split, expected):
    assigned = assign_splits(table([0] * 100 + [1] * 100), split)
    assert counts(assigned) == {(label, name): size for label in (0, 1) for name, size in expected.items()}


@pytest.mark.parametrize("seed", range(5))
def test_a_count_beside_a_fraction_is_exact_and_the_fraction_by_draw(seed):
    manifest = table([0] * 100 + [1] * 100)
    split = Split(validation=7, test=0.2, train=20, seed=seed)
    assigned = assign_splits(manifest, split)
    assert {(label, name): counts(assigned)[label, name] for label in (0, 1) for name in ("train", "validation")} == {
        (label, name): size for label in (0, 1) for name, size in (("train", 20), ("validation", 7))
    }
    low = {group for group, draw in draws_of(manifest, seed).items() if draw < Fraction(1, 5)}
    assert set(assigned.loc[assigned["split"] == "test", "group"]) == low


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


@pytest.mark.parametrize("split", [Split(validation=0.25, test=0.25), Split(validation=5, test=5)])
def test_quarantined_images_get_no_split_and_count_for_nothing(split):
    status = ["broken"] * 10 + ["ok"] * 40
    manifest = table([0] * 30 + [1] * 20, status=status)
    assigned = assign_splits(manifest, split)
    assert assigned.loc[assigned["status"] == "broken", "split"].isna().all()
    sound = manifest[10:].reset_index(drop=True)
    assert split_of(assign_splits(sound, split)).items() <= split_of(assigned).items()


def test_quarantined_image_does_not_draw_its_group_after_it():
    manifest = table([0] * 60 + [1] * 60)
    draws = draws_of(manifest, 0)
    highest, lowest = int(max(draws, key=draws.get)), int(min(draws, key=draws.get))
    manifest.loc[lowest, ["group", "status"]] = [f"{highest:04}", "broken"]
    assert split_of(assign_splits(manifest, Split()))[f"{highest:04}"] == "train"


def test_quarantined_image_loses_its_given_split():
    given_splits = ["test"] * 6 + ["train"] * 14
    status = ["broken"] + ["ok"] * 19
    labels = [0] * 3 + [1] * 3 + [0] * 7 + [1] * 7
    assigned = assign_splits(table(labels, None, given_splits, status), Split(validation=2, test="given"))
    assert split_of(assigned)["0000"] is None


def two_class_groups(pairs):
    """So many near-duplicates filed under two classes, and 20 images of each class that are alone."""
    labels = [number % 2 for number in range(2 * pairs)] + [0] * 20 + [1] * 20
    return table(labels, [number // 2 for number in range(2 * pairs)] + list(range(1000, 1040)))


@pytest.mark.parametrize("seed", range(5))
def test_group_of_two_classes_is_drawn_once_by_its_least_draw(seed):
    manifest = two_class_groups(40)
    split = Split(validation=0.3, test=0.3, seed=seed)
    assert split_of(assign_splits(manifest, split)) == by_draw(manifest, split)


@pytest.mark.parametrize("seed", range(5))
def test_group_of_two_classes_counts_in_both(seed):
    assigned = assign_splits(two_class_groups(10), Split(validation=5, test=6, train=7, seed=seed))
    assert (assigned.groupby("group")["split"].nunique(dropna=False) == 1).all()
    assert counts(assigned) == {(label, name): n for label in (0, 1) for name, n in zip(SPLITS, (7, 5, 6), strict=True)}


@pytest.mark.parametrize("seed", range(20))
def test_small_class_takes_no_part_s_only_group_away_from_another(seed):
    """Class 1 is in three groups, each of which is a near-duplicate of an image of class 0."""
    manifest = table([0] * 12 + [1] * 3, [*range(12), 0, 1, 2])
    assigned = assign_splits(manifest, Split(validation=0.1, test=0.1, seed=seed))
    assert (assigned.groupby("group")["split"].nunique() == 1).all()
    assert counts(assigned).keys() == {(label, name) for label in (0, 1) for name in SPLITS}


# Given splits


def given_table(*names):
    """Two classes; of each so many images of every given split as `(name, count)` says."""
    labels = [label for label in (0, 1) for _, count in names for _ in range(count)]
    return table(labels, None, [name for _ in (0, 1) for name, count in names for _ in range(count)])


@pytest.mark.parametrize("validation", [0.25, 5])
def test_given_test_split_is_kept_and_validation_is_cut_from_train(validation):
    manifest = given_table(("train", 40), ("test", 10))
    assigned = assign_splits(manifest, Split(validation=validation, test="given"))
    assert (assigned["split"] == "test").equals(manifest["split"] == "test")
    low = {group for group, draw in draws_of(manifest, 0).items() if draw < Fraction(1, 4)}
    of_validation = assigned[assigned["split"] == "validation"]
    if validation == 5:
        assert counts(assigned)[0, "validation"] == counts(assigned)[1, "validation"] == 5
    else:
        assert set(of_validation["group"]) == low & set(manifest.loc[manifest["split"] == "train", "group"])


@pytest.mark.parametrize("validation", [0.25, 8])
def test_near_duplicates_of_given_test_images_stay_together_where_they_are_given(validation):
    """Each test image has four near-duplicates among the training images."""
    manifest = given_table(("train", 40), ("test", 10))
    manifest["group"] = [
        f"{number // 50}-{number % 50 // 4 if number % 50 < 40 else number % 50 - 40}" for number in range(100)
    ]
    assigned = assign_splits(manifest, Split(validation=validation, test="given"))
    assert (assigned["split"] == "test").equals(manifest["split"] == "test")
    of_train = assigned[manifest["split"] == "train"]
    assert set(of_train["split"]) == {"train", "validation"}
    assert (of_train.groupby("group")["split"].nunique() == 1).all()


def test_new_images_of_the_given_test_split_move_nothing():
    before = given_table(("train", 40), ("test", 10))
    added = before[before["split"] == "test"].assign(
        image_id=lambda rows: "new" + rows["image_id"], group=before["group"][0]
    )
    after = pd.concat([before, added], ignore_index=True)
    old, new = (split_of(assign_splits(manifest, Split(test="given"))) for manifest in (before, after))
    assert old.items() <= new.items()


def test_given_validation_and_test_are_kept():
    manifest = given_table(("train", 8), ("validation", 3), ("test", 2))
    assigned = assign_splits(manifest, Split(validation="given", test="given"))
    pd.testing.assert_series_equal(assigned["split"], manifest["split"])


@pytest.mark.parametrize("test", [0.2, 3])
def test_given_validation_is_kept_and_test_is_cut_from_train(test):
    manifest = given_table(("train", 20), ("validation", 3))
    assigned = assign_splits(manifest, Split(validation="given", test=test))
    assert (assigned["split"] == "validation").equals(manifest["split"] == "validation")
    assert set(assigned.loc[manifest["split"] == "train", "split"]) == {"train", "test"}
    assert test == 0.2 or counts(assigned)[1, "test"] == 3


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
    ("images", "split", "told"),
    [
        (2, Split(), "(2 in all) gets train 1, validation 0, test 1"),
        (1, Split(), "(1 in all) gets train 1, validation 0, test 0"),
        (4, Split(validation=2, test=2), "(4 in all) gets train 0, validation 2, test 2"),
        (4, Split(validation=2, test=5), "(4 in all) gets train 0, validation 0, test 4"),
        (9, Split(validation=2, test=3, train=5), "(9 in all) gets train 4, validation 2, test 3"),
        (6, Split(validation=2, test=0.2, train=5), "(6 in all) gets train 3, validation 2, test 1"),
    ],
)
def test_class_with_too_few_images_is_named_with_what_was_asked_and_what_is_there(images, split, told):
    train = "all that are left" if split.train is None else split.train
    with pytest.raises(DataError) as caught:
        assign_splits(table([0] * 20 + [1] * images), split)
    assert str(caught.value) == (
        f"split: too few images: class1 {told}; expected train {train}, validation {split.validation}, "
        f"test {split.test}, and at least one of each; add images to these classes or ask for smaller parts"
    )


def test_of_many_classes_with_too_few_images_three_are_named():
    with pytest.raises(DataError, match=r"class2 \(2 in all\) gets [^;]*; and 2 classes more; expected"):
        assign_splits(table([number // 2 for number in range(10)]), Split())


def test_class_that_the_given_test_split_lacks_is_named():
    manifest = table([0] * 10 + [1] * 10, None, ["train"] * 7 + ["test"] * 3 + ["train"] * 10)
    with pytest.raises(
        DataError, match=r"class1 \(10 in all\) gets train 8, validation 2, test 0; expected .* test given"
    ):
        assign_splits(manifest, Split(test="given"))


@pytest.mark.parametrize("seed", range(3))
def test_group_larger_than_every_part_goes_to_training(seed):
    manifest = table([0] * 20 + [1] * 20, [0] * 10 + list(range(1, 31)))
    assigned = assign_splits(manifest, Split(validation=3, test=3, seed=seed))
    assert set(assigned.loc[assigned["group"] == "g0", "split"]) == {"train"}
