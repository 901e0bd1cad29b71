import json

import pandas as pd
import pytest

from tasks.validate.expectations import ExpectationResult
from tasks.validate.report import MAX_LISTED, write_report

CLASSES = ("cat", "dog")
PASSED = ExpectationResult("width_in_bounds", "critical", True, "Widths are in bounds; so it is in all.")
FAILED = ExpectationResult("class_size", "critical", False, "Every class has 10; dog has 1.")
WARNED = ExpectationResult("class_imbalance", "warning", False, "Classes are even; 12 to 1.")


@pytest.fixture
def table(make_manifest) -> pd.DataFrame:
    table = make_manifest(cat=12, dog=5)
    table.loc[:9, "split"] = "train"
    table.loc[10, "split"] = "test"
    table.loc[12, ["status", "split"]] = ["duplicate of dog/004.png", "test"]
    return table


def written(table, folder, results=(PASSED,), notes=()):
    report = write_report(table, CLASSES, list(results), notes, folder)
    markdown = (folder / "validation_report.md").read_text(encoding="utf-8")
    return report, markdown, json.loads((folder / "validation_report.json").read_text(encoding="utf-8"))


def test_sound_data_may_be_used(table, tmp_path):
    report, markdown, content = written(table, tmp_path / "new" / "folder")
    assert (report.folder, report.failures, report.warnings) == (tmp_path / "new" / "folder", (), ())
    assert "**The data may be used.**" in markdown
    assert content["usable"] is True


def test_failures_and_warnings_are_told_apart(table, tmp_path):
    report, markdown, content = written(table, tmp_path, [PASSED, WARNED, FAILED])
    assert report.failures == (FAILED.sentence,)
    assert report.warnings == (WARNED.sentence,)
    assert "**The data may not be used**, for 1 reason(s). 1 warning(s)" in markdown
    assert (content["usable"], content["failures"]) == (False, [FAILED.sentence])
    assert content["warnings"] == [WARNED.sentence]


def test_a_warning_alone_does_not_forbid_the_data(table, tmp_path):
    _, markdown, content = written(table, tmp_path, [WARNED])
    assert "**The data may be used.** 1 warning(s)" in markdown
    assert content["usable"] is True


def test_every_expectation_is_listed_with_its_outcome_failures_first(table, tmp_path):
    _, markdown, content = written(table, tmp_path, [PASSED, WARNED, FAILED])
    lines = [line for line in markdown.splitlines() if line.startswith(("| passed", "| **failed**"))]
    assert lines == [
        f"| **failed** | critical | class_size | {FAILED.sentence} |",
        f"| **failed** | warning | class_imbalance | {WARNED.sentence} |",
        f"| passed | critical | width_in_bounds | {PASSED.sentence} |",
    ]
    assert content["expectations"][0] == {
        "name": "width_in_bounds",
        "severity": "critical",
        "passed": True,
        "sentence": PASSED.sentence,
    }


def test_the_overview_counts_images_sizes_and_modes(table, tmp_path):
    table.loc[0, ["width", "height", "mode"]] = [64, 48, "L"]
    _, markdown, content = written(table, tmp_path)
    assert "- Source: folder\n- Images: 17 listed, 16 usable, 1 quarantined (5.88%)\n- Bytes: 15,300\n" in markdown
    assert "- Width: 32 to 64 pixels, median 32\n- Height: 24 to 48 pixels, median 24\n- Modes: L 1, RGB 15" in markdown
    assert content["images"] == {"listed": 17, "usable": 16, "quarantined": 1}


def test_usable_images_are_counted_by_class_and_given_split(table, tmp_path):
    _, markdown, content = written(table, tmp_path)
    assert "| label | class_name | listed | quarantined | usable | train | test | none given |" in markdown
    assert "| 0 | cat | 12 | 0 | 12 | 10 | 1 | 1 |" in markdown
    assert "| 1 | dog | 5 | 1 | 4 | 0 | 0 | 4 |" in markdown
    counts = {"listed": 5, "quarantined": 1, "usable": 4, "train": 0, "test": 0, "none given": 4}
    assert content["classes"][1] == {"label": 1, "class_name": "dog", **counts}


def test_an_empty_class_is_listed_with_zeros(make_manifest, tmp_path):
    _, markdown, _ = written(make_manifest(cat=3), tmp_path)
    assert "| 1 | dog | 0 | 0 | 0 | 0 |" in markdown


def test_where_nothing_is_usable_the_counts_still_add_up(table, tmp_path):
    _, markdown, content = written(table.assign(status="empty file: it has 0 bytes"), tmp_path)
    assert "- Images: 17 listed, 0 usable, 17 quarantined (100.00%)" in markdown
    assert "| 0 | cat | 12 | 12 | 0 |" in markdown
    assert content["reasons"] == {"empty file": 17}


def test_an_empty_manifest_can_be_reported(table, tmp_path):
    _, markdown, content = written(table.iloc[:0], tmp_path)
    assert "- Source: none\n- Images: 0 listed, 0 usable, 0 quarantined\n" in markdown
    assert content["quarantined"] == []


def test_quarantined_images_are_listed_with_their_reasons(table, tmp_path):
    table.loc[0, "status"] = "cannot be decoded: image file is truncated"
    _, markdown, content = written(table, tmp_path)
    assert "- 1 cannot be decoded\n- 1 duplicates\n" in markdown
    assert "| cat/000.png | cat | cannot be decoded: image file is truncated |" in markdown
    assert content["quarantined"][1] == {
        "path": "dog/000.png",
        "index": None,
        "label": 1,
        "class_name": "dog",
        "split": "test",
        "reason": "duplicate of dog/004.png",
    }


def test_images_of_a_store_are_listed_by_index(table, tmp_path):
    stored = table.assign(path=pd.Series([None] * len(table), dtype="str"), index=range(len(table)))
    _, markdown, content = written(stored.astype({"index": "Int64"}), tmp_path)
    assert "| index 12 | dog | duplicate of dog/004.png |" in markdown
    assert (content["quarantined"][0]["path"], content["quarantined"][0]["index"]) == (None, 12)


@pytest.mark.parametrize("beyond", [0, 1])
def test_markdown_lists_only_so_many_and_json_all(make_manifest, tmp_path, beyond):
    count = MAX_LISTED + beyond
    table = make_manifest(cat=count, dog=3)
    table.loc[: count - 1, "status"] = "empty file: it has 0 bytes"
    _, markdown, content = written(table, tmp_path)
    assert markdown.count("| empty file: it has 0 bytes |") == MAX_LISTED
    assert ("and 1 more, listed in `validation_report.json`" in markdown) == bool(beyond)
    assert len(content["quarantined"]) == count


def test_names_cannot_break_the_table(table, tmp_path):
    table.loc[12, "path"] = "a|b<script>\n# head.png"
    _, markdown, content = written(table, tmp_path)
    assert "| a\\|b&lt;script> # head.png | dog |" in markdown
    assert content["quarantined"][0]["path"] == "a|b<script>\n# head.png"


def test_notes_are_passed_on(table, tmp_path):
    _, markdown, content = written(table, tmp_path, notes=("Two files had no class.", "Näher besehen."))
    assert "## Notes\n\n- Two files had no class.\n- Näher besehen.\n" in markdown
    assert content["notes"] == ["Two files had no class.", "Näher besehen."]


def test_the_same_data_give_the_same_report(table, tmp_path):
    first, again = (written(table, tmp_path / name, [FAILED, PASSED])[1:] for name in ("first", "again"))
    assert first == again
