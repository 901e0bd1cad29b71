import subprocess
import sys

import pandas as pd
import pytest

from pipeline_config.experiment import Validation
from tasks.validate import expectations
from tasks.validate.expectations import REQUIRED, check_expectations

CLASSES = ("cat", "dog")
BOUNDS = Validation()


@pytest.fixture
def sound(make_manifest) -> pd.DataFrame:
    return make_manifest(cat=12, dog=15)


def failed(table: pd.DataFrame, class_names: tuple[str, ...] = CLASSES, bounds: Validation = BOUNDS) -> dict:
    results = check_expectations(table, class_names, bounds)
    return {result.name: result for result in results if not result.passed}


def test_a_sound_manifest_meets_all(sound, capfd):
    results = check_expectations(sound, CLASSES, BOUNDS)
    assert [result.name for result in results if not result.passed] == []
    assert [result.name for result in results] == [
        "column_types",
        "column_order",
        *(f"{column}_present" for column in REQUIRED),
        "image_id_unique",
        "label_in_range",
        "class_name_known",
        "width_in_bounds",
        "height_in_bounds",
        "class_size",
        "quarantined_share",
        "two_classes",
        "class_imbalance",
    ]
    assert {result.name for result in results if result.severity == "warning"} == {"class_imbalance"}
    sentences = {result.name: result.sentence for result in results}
    assert sentences["label_in_range"] == "Every usable image has a label from 0 to 1; so it is in all 27."
    assert sentences["class_size"].endswith("the smallest, cat, has 12.")
    assert sentences["class_imbalance"].endswith("15 (dog) to 12 (cat).")
    assert capfd.readouterr() == ("", "")


def test_a_missing_an_unknown_and_a_mistyped_column_are_named(sound):
    table = sound.drop(columns="phash").assign(extra=1, label=sound["label"].astype("Int64"))
    results = failed(table)
    assert set(results) == {"column_types"}
    assert results["column_types"].sentence.endswith(
        "label should be int64 and is Int64, phash should be str and is no such column, "
        "extra should be no such column and is int64. Pass the table through tasks.manifest.conform."
    )


def test_columns_out_of_order_are_named(sound):
    results = failed(sound[["source", "image_id", *sound.columns[2:]]])
    assert set(results) == {"column_order"}
    assert "out of place: image_id, source. " in results["column_order"].sentence


@pytest.mark.parametrize("column", sorted(set(REQUIRED) - {"label", "bytes", "status"}))
def test_a_gap_in_a_required_column_is_named(sound, column):
    sound.loc[13, column] = None
    result = failed(sound)[f"{column}_present"]
    class_name = "nan" if column == "class_name" else "dog"
    assert f"not so in 1 of 27: dog/001.png (class {class_name}) has none." in result.sentence


def test_a_picture_that_is_there_twice_is_named_with_its_copy(sound):
    sound.loc[20, "image_id"] = sound.loc[3, "image_id"]
    result = failed(sound)["image_id_unique"]
    assert result.severity == "critical"
    assert "not so in 2 of 27: cat/003.png (class cat) has 00" in result.sentence
    assert "dog/008.png (class dog) has 00" in result.sentence


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_beyond_the_classes_is_named(sound, label):
    sound.loc[0, "label"] = label
    sentence = failed(sound)["label_in_range"].sentence
    assert sentence == (
        f"Every usable image has a label from 0 to 1; not so in 1 of 27: cat/000.png (class cat) has {label}. "
        "Look at how the source numbers its classes."
    )


def test_a_class_that_was_not_announced_is_named(sound):
    sound.loc[0, "class_name"] = "owl"
    assert "one of the 2 classes cat, dog; not so in 1 of 27: cat/000.png (class owl) has owl." in (
        failed(sound)["class_name_known"].sentence
    )


@pytest.mark.parametrize("side", ["width", "height"])
@pytest.mark.parametrize("pixels", [9, 51])
def test_a_side_out_of_bounds_is_named(sound, side, pixels):
    sound.loc[5, side] = pixels
    sentence = failed(sound, bounds=Validation(min_side=10, max_side=50))[f"{side}_in_bounds"].sentence
    assert f"a {side} of 10 to 50 pixels" in sentence
    assert f"cat/005.png (class cat) has {pixels}." in sentence


def test_at_most_five_rows_are_named_by_path_and_the_others_counted(sound):
    sound.loc[:7, "width"] = 2
    sentence = failed(sound.iloc[::-1])["width_in_bounds"].sentence
    assert [number for number in range(12) if f"cat/{number:03}.png" in sentence] == [0, 1, 2, 3, 4]
    assert "not so in 8 of 27: cat/000.png" in sentence
    assert " and 3 more. " in sentence


@pytest.mark.parametrize(("rows", "ending"), [(5, "has 2. "), (6, "has 2 and 1 more. ")])
def test_the_sixth_row_is_the_first_that_is_only_counted(sound, rows, ending):
    sound.loc[: rows - 1, "width"] = 2
    assert f"cat/004.png (class cat) {ending}" in failed(sound)["width_in_bounds"].sentence


def test_images_of_a_store_are_named_by_index(sound):
    table = sound.assign(path=pd.Series([None] * len(sound), dtype="str"), index=range(len(sound)))
    table = table.astype({"index": "Int64"})
    table.loc[[2, 10], "width"] = 2
    assert "index 2 (class cat) has 2, index 10 (class cat) has 2. " in failed(table)["width_in_bounds"].sentence


def test_quarantined_rows_need_not_be_complete(sound):
    sound.loc[0, ["width", "sha256", "status"]] = [None, None, "missing file: it was listed, but is not there"]
    assert failed(sound, bounds=Validation(max_quarantined=1)) == {}


@pytest.mark.parametrize("images", [0, 1, 9])
def test_a_class_that_is_too_small_is_named_with_its_count(make_manifest, images):
    result = failed(make_manifest(cat=40, dog=20, owl=images), ("cat", "dog", "owl"))["class_size"]
    assert result.severity == "critical"
    assert result.sentence == (
        "Every class has at least 10 usable images (validation.min_images_per_class); "
        f"owl has {images}. Add images, leave the class out, or look whether its folder or label is misspelt."
    )


def test_a_class_of_the_least_size_is_large_enough(make_manifest):
    assert "class_size" not in failed(make_manifest(cat=10, dog=10))


def test_a_class_that_is_small_by_quarantine_says_so(sound):
    sound.loc[:6, "status"] = "empty file: it has 0 bytes"
    assert "cat has 5 (7 quarantined). Mend the quarantined images" in failed(sound)["class_size"].sentence


def test_too_many_quarantined_images_are_counted_by_reason(sound):
    sound.loc[[0, 1], "status"] = ["duplicate of cat/005.png", "duplicate of cat/006.png"]
    sound.loc[2, "status"] = "cannot be decoded: image file is truncated"
    result = failed(sound, bounds=Validation(min_images_per_class=3))["quarantined_share"]
    assert result.severity == "critical"
    assert result.sentence == (
        "At most 5.00% of the images are quarantined (validation.max_quarantined); "
        "3 of 27 are (11.11%): 2 duplicates, 1 cannot be decoded. "
        "Mend or remove those files, or raise the bound if they may be left out."
    )


def test_the_bound_on_quarantined_images_is_itself_allowed(make_manifest):
    table = make_manifest(cat=50, dog=50)
    table.loc[:4, "status"] = "empty file: it has 0 bytes"
    assert "quarantined_share" not in failed(table)
    table.loc[5, "status"] = "empty file: it has 0 bytes"
    assert "quarantined_share" in failed(table)


def test_one_class_is_too_few(make_manifest):
    result = failed(make_manifest(cat=20), ("cat",))["two_classes"]
    assert result.severity == "critical"
    assert "1 of 1 classes have images: cat. A classifier needs two classes" in result.sentence


def test_an_imbalance_of_more_than_ten_is_a_warning(make_manifest):
    result = failed(make_manifest(cat=101, dog=10))["class_imbalance"]
    assert result.severity == "warning"
    assert "101 (cat) to 10 (dog)." in result.sentence
    assert "class_imbalance" not in failed(make_manifest(cat=100, dog=10))


def test_where_nothing_is_usable_the_classes_and_the_share_tell_it(sound):
    results = failed(sound.assign(status="empty file: it has 0 bytes"))
    assert set(results) == {"class_size", "quarantined_share", "two_classes"}
    assert "27 of 27 are (100.00%): 27 empty file" in results["quarantined_share"].sentence


def test_a_manifest_without_rows_fails(sound):
    assert set(failed(sound.iloc[:0])) == {"class_size", "two_classes"}


def test_an_expectation_that_cannot_be_computed_is_no_verdict_on_the_data(sound):
    check = expectations._check_present(1, "no_such_column")
    with pytest.raises(RuntimeError, match="could not compute no_such_column_present"):
        expectations._validate(sound, [check])


def test_importing_the_module_does_not_import_great_expectations():
    code = "import sys, tasks.validate.report; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
