import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_config.experiment import Validation
from tasks.manifest import conform, usable
from tasks.validate.duplicates import quarantine_duplicates

CLASSES = ("cat", "dog", "owl")

BOUNDS = Validation()


def manifest(*rows: tuple[str | int, str, int, str | None], status: str = "ok") -> pd.DataFrame:
    """Rows of (path or index, picture, label, given split)."""
    table = pd.DataFrame(rows, columns=["place", "image_id", "label", "split"])
    by_path = table["place"].map(lambda place: isinstance(place, str))
    return conform(
        table.assign(
            path=table["place"].where(by_path, None),
            index=table["place"].where(~by_path, None),
            class_name=[CLASSES[label] for label in table["label"]],
            bytes=1,
            status=status,
        )
    )


def statuses(*rows: tuple[str | int, str, int, str | None]) -> list[str]:
    return list(quarantine_duplicates(manifest(*rows), BOUNDS)["status"])


def test_different_pictures_stay():
    assert statuses(("a", "x", 0, None), ("b", "y", 0, None)) == ["ok", "ok"]


def test_of_copies_the_first_path_stays():
    rows = [("c", "x", 0, None), ("a", "x", 0, None), ("b", "x", 0, None)]
    assert statuses(*rows) == ["duplicate of a", "ok", "duplicate of a"]


def test_of_copies_in_a_store_the_first_index_stays():
    assert statuses((10, "x", 0, None), (9, "x", 0, None)) == ["duplicate of index 9", "ok"]


@pytest.mark.parametrize(
    ("better", "worse"), [("test", "validation"), ("validation", "train"), ("train", None), ("test", None)]
)
def test_the_given_split_goes_before_the_path(better, worse):
    assert statuses(("a", "x", 0, worse), ("b", "x", 0, better)) == ["duplicate of b", "ok"]


def test_one_picture_under_two_classes_is_quarantined_whole_and_names_the_other():
    assert statuses(("a", "x", 0, None), ("b", "x", 1, "test")) == [
        "same picture as b, filed under dog",
        "same picture as a, filed under cat",
    ]


def test_copies_within_a_class_name_the_other_class_where_there_is_one():
    rows = [("a", "x", 0, None), ("b", "x", 0, None), ("c", "x", 1, None), ("d", "x", 2, None)]
    assert statuses(*rows) == [
        "same picture as c, filed under dog",
        "same picture as c, filed under dog",
        "same picture as a, filed under cat",
        "same picture as a, filed under cat",
    ]


def test_quarantined_rows_are_neither_judged_nor_kept_in_place_of_others():
    table = pd.concat(
        [manifest(("a", "x", 1, "test"), status="too small: 1 × 1"), manifest(("b", "x", 0, None))], ignore_index=True
    )
    assert list(quarantine_duplicates(table, BOUNDS)["status"]) == ["too small: 1 × 1", "ok"]


def test_nothing_but_the_status_changes_and_the_table_given_stays_as_it_was():
    table = manifest(("a", "x", 0, None), ("b", "x", 0, None))
    before = table.copy()
    judged = quarantine_duplicates(table, BOUNDS)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(judged.drop(columns="status"), before.drop(columns="status"))
    assert judged.dtypes.equals(before.dtypes)


def test_an_empty_manifest_stays_empty():
    assert quarantine_duplicates(manifest(("a", "x", 0, None)).iloc[:0], BOUNDS).empty


row = st.tuples(st.sampled_from("xyz"), st.sampled_from([0, 1]), st.sampled_from(["train", "validation", "test", None]))


@settings(deadline=None)  # a loaded machine is no failure
@given(st.lists(row, min_size=1, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_any_order_of_rows_has_one_outcome_in_which_pictures_are_unique(rows, random, in_store):
    table = manifest(*((place if in_store else f"{place}.png", *rest) for place, rest in enumerate(rows)))
    shuffled = table.iloc[random.sample(range(len(table)), len(table))].reset_index(drop=True)
    judged, again = quarantine_duplicates(table, BOUNDS), quarantine_duplicates(shuffled, BOUNDS)
    key = "index" if in_store else "path"
    assert dict(zip(judged[key], judged["status"], strict=True)) == dict(zip(again[key], again["status"], strict=True))
    kept = usable(judged)
    assert kept["image_id"].is_unique
    one_label = table.groupby("image_id")["label"].nunique() == 1
    assert set(kept["image_id"]) == set(one_label.index[one_label])
