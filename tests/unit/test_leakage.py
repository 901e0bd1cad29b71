import pandas as pd
import pytest

from pipeline_config.experiment import Validation
from tasks.validate.checked import PAIR_COLUMNS
from tasks.validate.duplicates import exact_pairs, quarantine_duplicates
from tasks.validate.leakage import drop_leaking, leaked_share, leaking_rows


@pytest.fixture
def table(make_manifest) -> pd.DataFrame:
    """Rows 0 to 9 are cats, 10 to 19 dogs; of each the first four are test images, the fifth is for validation."""
    split = ["test"] * 4 + ["validation"] + ["train"] * 5
    return make_manifest(cat=10, dog=10).assign(split=pd.Series(split * 2, dtype="str"))


def near(*pairs: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame([(*pair, "near", 2) for pair in pairs], columns=list(PAIR_COLUMNS))


def ends(leaks: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(leaks["row"], leaks["test_row"], strict=True))


def test_a_training_or_validation_image_that_is_nearly_a_test_image_leaks_whichever_comes_first(table):
    assert ends(leaking_rows(table, near((0, 7), (4, 1), (15, 12)))) == [(7, 0), (4, 1), (15, 12)]


def test_pairs_within_the_test_split_or_within_training_do_not_leak(table):
    leaks = leaking_rows(table, near((0, 1), (5, 6), (4, 5)))
    assert ends(leaks) == []
    assert leaked_share(table, leaks) == 0


def test_where_no_split_is_given_nothing_leaks(table):
    assert ends(leaking_rows(table.assign(split=None), near((0, 7)))) == []


def test_images_without_a_given_split_beside_a_given_test_split_are_training_images(table):
    table.loc[7, "split"] = None
    assert ends(leaking_rows(table, near((0, 7)))) == [(7, 0)]


def test_a_test_image_counts_once_however_often_it_leaks(table):
    leaks = leaking_rows(table, near((0, 7), (0, 8), (1, 9)))
    assert leaked_share(table, leaks) == 2 / 8


def test_exact_copies_that_were_quarantined_as_duplicates_count(table):
    table.loc[7, "image_id"] = table.loc[0, "image_id"]
    pairs = exact_pairs(table)
    quarantined = quarantine_duplicates(table, Validation())
    assert quarantined.loc[7, "status"] == "duplicate of cat/000.png"
    assert ends(leaking_rows(quarantined, pairs)) == [(7, 0)]


def test_a_quarantined_test_image_is_no_test_image(table):
    table.loc[0, "status"] = "empty file: it has 0 bytes"
    assert ends(leaking_rows(table, near((0, 7)))) == []


def test_leaking_rows_are_quarantined_on_request_with_the_test_image_named(table):
    table.loc[9, "status"] = "duplicate of cat/001.png"
    dropped = drop_leaking(table, leaking_rows(table, near((0, 7), (1, 7), (1, 9))))
    assert dropped.loc[7, "status"] == "leaks: nearly the same as cat/000.png"
    assert dropped.loc[9, "status"] == "duplicate of cat/001.png"
    assert set(dropped.drop([7, 9])["status"]) == {"ok"}


def test_of_several_test_images_the_nearest_is_named_then_the_first_by_name(table):
    pairs = near((0, 7), (1, 7), (2, 7)).assign(distance=[4, 2, 2])
    assert drop_leaking(table, leaking_rows(table, pairs)).loc[7, "status"] == "leaks: nearly the same as cat/001.png"
    moved = table.iloc[::-1].reset_index(drop=True)
    turned = pairs.assign(first=19 - pairs["first"], second=19 - pairs["second"])
    dropped = drop_leaking(moved, leaking_rows(moved, turned))
    assert dropped.loc[12, "status"] == "leaks: nearly the same as cat/001.png"


def test_an_exact_copy_that_was_left_in_is_named_as_such(table):
    pairs = near((0, 7)).assign(kind="exact", distance=0)
    assert drop_leaking(table, leaking_rows(table, pairs)).loc[7, "status"] == "leaks: the same as cat/000.png"


def test_n_copies_give_n_less_one_pairs_from_the_preferred_copy(table):
    table.loc[[2, 5, 17], "image_id"] = "same"
    pairs = exact_pairs(table)
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [(2, 5), (2, 17)]
    assert set(pairs["kind"]) == {"exact"}
    assert set(pairs["distance"]) == {0}


def test_a_set_without_copies_has_no_pairs(table):
    assert list(exact_pairs(table).columns) == list(PAIR_COLUMNS)
    assert exact_pairs(table).empty


@pytest.mark.parametrize(("check", "kept"), [("duplicates", {2, 5}), ("conflicting_labels", {3, 17})])
def test_a_check_that_is_off_quarantines_nothing(table, check, kept):
    table.loc[[2, 5], "image_id"] = "in one class"
    table.loc[[3, 17], "image_id"] = "in two classes"
    quarantined = quarantine_duplicates(table, Validation(**{check: "off"}))
    assert kept <= set(quarantined.index[quarantined["status"] == "ok"])
    assert (quarantined["status"] != "ok").sum() in {1, 2}
