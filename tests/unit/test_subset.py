"""Which classes and images of a source are used: renaming, merging, narrowing, and what is told of the rest."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Dataset
from tasks.ingest.found import FoundImages
from tasks.ingest.subset import take_subset


def found(images, test=(), place="path"):
    """`found({"cat": 3, "dog": 2})`: so many images a class, the last of them first; `test` names test images."""
    rows = [(name, f"{name}/{number}.png") for name, count in images.items() for number in reversed(range(count))]
    table = pd.DataFrame(rows, columns=["class_name", "path"])
    table["label"] = table["class_name"].map({name: label for label, name in enumerate(images)}).astype("int64")
    table["split"] = ["test" if path in test else None for path in table["path"]]
    if place == "index":
        table = table.drop(columns="path").assign(index=range(len(table))[::-1])
    return FoundImages(table, tuple(images), notes=("said by the source",))


def take(images, **section):
    return take_subset(images, Dataset(source="any", **section))


def counts(subset):
    return subset.table["class_name"].value_counts().to_dict()


def test_nothing_asked_leaves_all_as_it_is():
    images = found({"dog": 2, "cat": 3})
    subset = take(images)
    pd.testing.assert_frame_equal(subset.table, images.table)
    assert (subset.class_names, subset.notes) == (("dog", "cat"), ("said by the source",))


def test_classes_are_renamed_and_merged_in_the_order_of_the_source():
    subset = take(found({"gatto": 2, "cane": 1, "tigre": 3}), class_names={"gatto": "cat", "tigre": "cat"})
    assert subset.class_names == ("cat", "cane")
    assert counts(subset) == {"cat": 5, "cane": 1}
    assert subset.table["label"].tolist() == [0, 0, 1, 0, 0, 0]


def test_class_can_be_merged_into_one_that_keeps_its_name():
    assert take(found({"cat": 2, "kitten": 1}), class_names={"kitten": "cat"}).class_names == ("cat",)


def test_two_classes_can_swap_their_names():
    subset = take(found({"a": 2, "b": 1}), class_names={"a": "b", "b": "a"})
    assert (subset.class_names, counts(subset)) == (("b", "a"), {"b": 2, "a": 1})


def test_renaming_a_class_that_is_not_there_is_told_with_what_was_meant():
    with pytest.raises(ConfigurationError) as caught:
        take(found({"gatto": 2, "cane": 1}), class_names={"gato": "cat"})
    assert str(caught.value) == (
        "dataset.class_names: expected names of the source's classes, which are gatto, cane; received 'gato'; "
        "did you mean 'gatto'?"
    )


def test_small_classes_are_left_out_and_named_with_their_sizes():
    subset = take(found({"b": 7, "c": 1_300, "a": 12}), min_images_per_class=300)
    assert counts(subset) == {"c": 1_300}
    assert set(subset.table["label"]) == {0}
    assert subset.notes[1:] == ("left out, fewer than 300 images: a (12), b (7)",)


def test_class_of_exactly_the_least_size_stays():
    assert take(found({"a": 3, "b": 2}), min_images_per_class=3).class_names == ("a",)


def test_classes_are_merged_before_they_are_counted():
    subset = take(found({"a": 2, "b": 2, "c": 3}), class_names={"b": "a"}, min_images_per_class=4)
    assert counts(subset) == {"a": 4}


def test_first_classes_are_chosen_by_name_and_keep_their_order():
    subset = take(found({"d": 1, "b": 1, "c": 1, "a": 1}), max_classes=2)
    assert subset.class_names == ("b", "a")
    assert subset.table["class_name"].tolist() == ["b", "a"]
    assert subset.notes[1:] == ("left out beyond the first 2 classes: c, d",)


def test_small_classes_do_not_count_among_the_first():
    assert take(found({"a": 1, "b": 5, "c": 5}), min_images_per_class=2, max_classes=1).class_names == ("b",)


def test_first_images_of_each_class_are_chosen_by_path():
    subset = take(found({"a": 3, "b": 1_236}), images_per_class=2)
    assert subset.table["path"].tolist() == ["a/1.png", "a/0.png", "b/1.png", "b/0.png"]
    assert subset.notes[1:] == ("kept the first 2 images of each class: 1,235 images left out",)


def test_first_images_are_chosen_by_index_where_there_is_no_path():
    subset = take(found({"a": 3, "b": 3}, place="index"), images_per_class=1)
    assert subset.table["index"].tolist() == [3, 0]


def test_given_test_split_is_kept_whole_and_not_counted():
    subset = take(found({"a": 5}, test={"a/0.png", "a/4.png"}), images_per_class=2)
    assert subset.table["path"].tolist() == ["a/4.png", "a/2.png", "a/1.png", "a/0.png"]
    assert subset.notes[1:] == ("kept the first 2 images of each class: 1 image left out",)


def test_nothing_is_said_where_nothing_is_left_out():
    subset = take(found({"a": 2, "b": 2}), min_images_per_class=2, max_classes=2, images_per_class=2)
    assert subset.notes == ("said by the source",)


def test_nothing_left_is_told_with_the_largest_class_there_is():
    with pytest.raises(DataError) as caught:
        take(found({"a": 2, "b": 12}), min_images_per_class=300)
    assert str(caught.value).startswith("dataset.min_images_per_class: expected classes of 300 images or more")
    assert "the largest class has 12" in str(caught.value)


def test_classes_that_differ_only_in_case_are_refused_after_renaming():
    with pytest.raises(DataError, match="'Cat' and 'cat' differ only in case"):
        take(found({"Cat": 1, "gatto": 1}), class_names={"gatto": "cat"})
    assert take(found({"Cat": 1, "cat": 1}), class_names={"cat": "Cat"}).class_names == ("Cat",)


names = st.sampled_from("abcdef")


@given(
    images=st.dictionaries(names, st.integers(1, 6), min_size=1),
    test=st.sets(st.builds("{}/{}.png".format, names, st.integers(0, 5))),
    renamed=st.dictionaries(names, names),
    least=st.none() | st.integers(1, 3),
    most=st.none() | st.integers(1, 4),
    per_class=st.none() | st.integers(1, 4),
)
def test_any_subset_is_sound_and_tells_what_it_left_out(images, test, renamed, least, most, per_class):
    renamed = {old: new for old, new in renamed.items() if old in images}
    source = found(images, test)
    section = {
        "class_names": renamed,
        "min_images_per_class": least,
        "max_classes": most,
        "images_per_class": per_class,
    }
    try:
        subset = take(source, **section)
    except DataError:
        sizes = source.table["class_name"].map(lambda name: renamed.get(name, name)).value_counts()
        assert sizes.max() < least
        return
    table = subset.table
    assert [subset.class_names[label] for label in table["label"]] == table["class_name"].tolist()
    assert set(table["label"]) == set(range(len(subset.class_names)))
    assert set(table["path"]) <= set(source.table["path"])
    assert len(subset.class_names) <= (most or 6)
    if per_class:
        assert (table[table["split"] != "test"].groupby("class_name").size() <= per_class).all()
    assert (len(table) < len(source.table)) == (len(subset.notes) > 1)
    # In any order of the rows the same images stay.
    shuffled = FoundImages(source.table.sample(frac=1, random_state=0).reset_index(drop=True), source.class_names)
    assert set(take(shuffled, **section).table["path"]) == set(table["path"])
