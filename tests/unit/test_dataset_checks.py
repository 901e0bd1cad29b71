import itertools
import subprocess
import sys
from collections.abc import Sequence

import pandas as pd
import pytest

from pipeline_config.experiment import Validation
from tasks.validate.checked import FINDING_COLUMNS, PAIR_COLUMNS
from tasks.validate.dataset_checks import check_dataset, check_splits
from tasks.validate.expectations import Check, ExpectationResult, validate
from tasks.validate.leakage import leaking_rows
from tasks.validate.manifest_checks import REQUIRED

CLASSES = ("cat", "dog")
BOUNDS = Validation()
OF_IMAGES = (
    *("unreadable", "size", "aspect", "one_colour", "box"),
    *("wrong_extension", "mode", "listed_size", "low_resolution"),
)
OF_THE_SET = (
    *("class_size", "quarantined", "number_of_classes", "imbalance"),
    *("duplicates", "conflicting_labels", "near_duplicates", "near_conflicts", "leakage"),
)


@pytest.fixture
def sound(make_manifest) -> pd.DataFrame:
    return make_manifest(cat=12, dog=15)


def check(
    table: pd.DataFrame,
    class_names: tuple[str, ...] = CLASSES,
    bounds: Validation = BOUNDS,
    findings: Sequence[tuple] = (),
    pairs: Sequence[tuple] = (),
) -> list[ExpectationResult]:
    found = pd.DataFrame(findings, columns=list(FINDING_COLUMNS))
    paired = pd.DataFrame(pairs, columns=list(PAIR_COLUMNS)).astype({"first": "int64", "second": "int64"})
    leaks = leaking_rows(table, paired) if "split" in table else paired
    return check_dataset(table, class_names, found, paired, leaks, bounds)


def failed(*arguments, **keywords) -> dict[str, ExpectationResult]:
    return {result.name: result for result in check(*arguments, **keywords) if not result.passed}


def test_a_sound_manifest_meets_all(sound, capfd):
    results = check(sound)
    assert [result.name for result in results if not result.passed] == []
    assert [result.name for result in results] == [
        "column_types",
        "column_order",
        *(f"{column}_present" for column in REQUIRED),
        "image_id_unique",
        "label_in_range",
        "class_name_known",
        "class_size",
        *OF_IMAGES,
        *OF_THE_SET[1:],
    ]
    sentences = {result.name: result.sentence for result in results}
    assert sentences["label_in_range"] == "Every usable image has a label from 0 to 1; so it is in all 27."
    assert sentences["class_size"].endswith("the smallest, cat, has 12.")
    assert sentences["imbalance"].endswith("15 (dog) to 12 (cat).")
    assert sentences["unreadable"] == "Every image can be read and decoded in full; so it is in all 27."
    assert capfd.readouterr() == ("", "")


SEVERITIES = ("critical", "warning", "off")
# Of each check its severity in each of four runs: no two have the same four, and each has all three in some run.
IN_FOUR_RUNS = dict(
    zip(
        (*OF_IMAGES, *OF_THE_SET),
        (four for four in itertools.product(SEVERITIES, repeat=4) if set(four) == set(SEVERITIES)),
        strict=False,
    )
)
IN_FOUR_RUNS["unreadable"] = ("critical", "warning", "critical", "warning")  # the schema has no off for it


@pytest.fixture(scope="module")
def severities_found(make_manifest) -> dict[str, tuple[str, ...]]:
    """Of each check the severity of its result in each of the four runs, `off` where it gave none."""
    runs = []
    for run in range(4):
        bounds = Validation(**{name: four[run] for name, four in IN_FOUR_RUNS.items()})
        runs.append({result.name: result.severity for result in check(make_manifest(cat=12, dog=15), bounds=bounds)})
    return {name: tuple(found.get(name, "off") for found in runs) for name in IN_FOUR_RUNS}


@pytest.mark.parametrize("name", [*OF_IMAGES, *OF_THE_SET])
def test_every_check_is_a_key_of_the_section_and_obeys_its_severity(severities_found, name):
    """Two severities for each, and off where the schema allows it; and no other check's key."""
    assert severities_found[name] == IN_FOUR_RUNS[name]


@pytest.fixture(scope="module")
def failed_by_findings(make_manifest) -> dict[str, ExpectationResult]:
    """What failed where each check found two images, with words that name the check."""
    names = [name for name in OF_IMAGES if name != "low_resolution"]
    findings = [(row, name, f"{words} {name}", False) for name in names for row, words in ((3, "so"), (20, "thus"))]
    return failed(make_manifest(cat=12, dog=15), findings=findings)


@pytest.mark.parametrize("name", [name for name in OF_IMAGES if name != "low_resolution"])
def test_what_was_found_in_an_image_is_told_with_its_name(failed_by_findings, name):
    told = f"not so in 2 of 27: cat/003.png (so {name}), dog/008.png (thus {name})."
    assert told in failed_by_findings[name].sentence


def test_some_images_may_be_smaller_than_the_models_input(make_manifest):
    table = make_manifest(cat=20, dog=20)
    findings = [(row, "low_resolution", "32 × 24 pixels", False) for row in range(5)]
    assert failed(table, findings=findings[:4]) == {}
    assert "not so in 5 of 40" in failed(table, findings=findings)["low_resolution"].sentence


def test_duplicates_and_pictures_under_two_classes_are_told_apart(sound):
    pairs = [(0, 1, "exact", 0), (2, 20, "exact", 0), (3, 4, "near", 2), (5, 21, "near", 3)]
    results = failed(sound, pairs=pairs)
    assert set(results) == {"duplicates", "conflicting_labels", "near_duplicates", "near_conflicts"}
    assert "1 pair: cat/000.png and cat/001.png. " in results["duplicates"].sentence
    assert "cat/002.png and dog/008.png (cat, dog). " in results["conflicting_labels"].sentence
    assert "cat/005.png and dog/009.png (cat, dog). " in results["near_conflicts"].sentence
    assert {name for name, result in results.items() if result.severity == "critical"} == {"conflicting_labels"}


def test_a_test_image_that_is_also_a_training_image_is_critical_and_named(sound):
    sound.loc[:9, "split"] = "test"
    result = failed(sound, pairs=[(2, 11, "near", 1)])["leakage"]
    assert result.severity == "critical"
    assert "10.00% are: cat/011.png and cat/002.png. Quarantine" in result.sentence


def test_leakage_within_its_bound_passes_and_names_the_rows_all_the_same(sound):
    sound.loc[:9, "split"] = "test"
    results = check(sound, pairs=[(2, 11, "near", 1)], bounds=Validation(max_leakage=0.1))
    (leakage,) = (result for result in results if result.name == "leakage")
    assert leakage.passed
    assert "cat/011.png and cat/002.png" in leakage.sentence


def test_leakage_that_is_dropped_on_request_is_a_warning(sound):
    sound.loc[:9, "split"] = "test"
    result = failed(sound, pairs=[(2, 11, "near", 1)], bounds=Validation(drop_leaking=True))["leakage"]
    assert result.severity == "warning"
    assert "are quarantined (validation.drop_leaking)" in result.sentence


def test_what_the_test_images_can_tell_is_said_with_its_interval(make_manifest):
    table = make_manifest(cat=160, dog=40)
    (result,) = check_splits(table.assign(split="test"), BOUNDS)
    assert result.passed
    # 1.96 sqrt(0.9 · 0.1 / n) at 200 and at 40 images
    assert "200 test images tell it to ±0.042, and the recall of dog, the class with the fewest, to ±0.093" in (
        result.sentence
    )


def test_a_test_set_that_is_too_small_to_tell_models_apart_is_a_warning(make_manifest):
    (result,) = check_splits(make_manifest(cat=20, dog=20).assign(split="test"), BOUNDS)
    assert (result.passed, result.severity) == (False, "warning")
    assert "It takes 139 test images" in result.sentence


def test_yaml_s_bare_off_is_understood():
    assert Validation.model_validate({"near_duplicates": False}).near_duplicates == "off"


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


GAPS = {column: row for row, column in enumerate(sorted(set(REQUIRED) - {"label", "bytes", "status"}), 12)}


@pytest.fixture(scope="module")
def failed_by_gaps(make_manifest) -> dict[str, ExpectationResult]:
    """What failed where each of these columns has a gap in a row of its own."""
    table = make_manifest(cat=12, dog=15)
    for column, row in GAPS.items():
        table.loc[row, column] = None
    return failed(table)


@pytest.mark.parametrize("column", GAPS)
def test_a_gap_in_a_required_column_is_named(failed_by_gaps, column):
    path = f"dog/{GAPS[column] - 12:03}.png"
    class_name = "nan" if column == "class_name" else "dog"
    assert f"not so in 1 of 27: {path} (class {class_name}) has none." in failed_by_gaps[f"{column}_present"].sentence


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


def test_at_most_five_rows_are_named_by_path_and_the_others_counted(sound):
    sound.loc[:7, "label"] = 2
    sentence = failed(sound.iloc[::-1])["label_in_range"].sentence
    assert [number for number in range(12) if f"cat/{number:03}.png" in sentence] == [0, 1, 2, 3, 4]
    assert "not so in 8 of 27: cat/000.png" in sentence
    assert " and 3 more. " in sentence


@pytest.mark.parametrize(("rows", "ending"), [(5, "has 2. "), (6, "has 2 and 1 more. ")])
def test_the_sixth_row_is_the_first_that_is_only_counted(sound, rows, ending):
    sound.loc[: rows - 1, "label"] = 2
    assert f"cat/004.png (class cat) {ending}" in failed(sound)["label_in_range"].sentence


def test_images_of_a_store_are_named_by_index(sound):
    table = sound.assign(path=pd.Series([None] * len(sound), dtype="str"), index=range(len(sound)))
    table = table.astype({"index": "Int64"})
    table.loc[[2, 10], "label"] = 2
    assert "index 2 (class cat) has 2, index 10 (class cat) has 2. " in failed(table)["label_in_range"].sentence


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
    result = failed(sound, bounds=Validation(min_images_per_class=3))["quarantined"]
    assert result.severity == "critical"
    assert result.sentence == (
        "At most 5.00% of the images are quarantined (validation.max_quarantined); "
        "3 of 27 are (11.11%): 2 duplicates, 1 cannot be decoded. "
        "Mend or remove those files, or raise the bound if they may be left out."
    )


def test_the_bound_on_quarantined_images_is_itself_allowed(make_manifest):
    table = make_manifest(cat=50, dog=50)
    table.loc[:4, "status"] = "empty file: it has 0 bytes"
    assert "quarantined" not in failed(table)
    table.loc[5, "status"] = "empty file: it has 0 bytes"
    assert "quarantined" in failed(table)


def test_one_class_is_too_few(make_manifest):
    result = failed(make_manifest(cat=20), ("cat",))["number_of_classes"]
    assert result.severity == "critical"
    assert "1 of 1 classes have images: cat. With fewer there is nothing to tell apart" in result.sentence


def test_an_imbalance_of_more_than_ten_is_a_warning(make_manifest):
    result = failed(make_manifest(cat=101, dog=10))["imbalance"]
    assert result.severity == "warning"
    assert "101 (cat) to 10 (dog)." in result.sentence
    assert "imbalance" not in failed(make_manifest(cat=100, dog=10))


def test_where_nothing_is_usable_the_classes_and_the_share_tell_it(sound):
    results = failed(sound.assign(status="empty file: it has 0 bytes"))
    assert set(results) == {"class_size", "quarantined", "number_of_classes"}
    assert "27 of 27 are (100.00%): 27 empty file" in results["quarantined"].sentence


def test_a_manifest_without_rows_fails(sound):
    assert set(failed(sound.iloc[:0])) == {"class_size", "number_of_classes"}


def test_an_expectation_that_cannot_be_computed_is_no_verdict_on_the_data(sound):
    arguments = {"column": "no_such_column"}
    impossible = Check("impossible", "ExpectColumnValuesToNotBeNull", arguments, "", "", lambda _: "")
    with pytest.raises(RuntimeError, match="could not compute impossible"):
        validate(sound, [impossible])


def test_importing_the_module_does_not_import_great_expectations():
    code = "import sys, tasks.validate.dataset_checks; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
