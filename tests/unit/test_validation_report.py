import json

import pandas as pd
import pytest

from tasks.images import ImageReader
from tasks.validate.checked import FINDING_COLUMNS, PAIR_COLUMNS, CheckedData
from tasks.validate.expectations import ExpectationResult
from tasks.validate.report import write_report

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


def written(table, folder, results=(PASSED,), notes=(), findings=(), pairs=()):
    found = pd.DataFrame(list(findings), columns=list(FINDING_COLUMNS))
    paired = pd.DataFrame(list(pairs), columns=list(PAIR_COLUMNS))
    data = CheckedData(table, CLASSES, found, paired, tuple(results), notes, ImageReader(folder, None))
    report = write_report(data, folder)
    markdown = (folder / "validation_report.md").read_text(encoding="utf-8")
    return report, markdown, json.loads((folder / "validation_report.json").read_text(encoding="utf-8"))


def test_the_report_is_a_page_a_summary_and_a_file_for_machines(table, tmp_path):
    written(table, tmp_path / "report")
    names = {"validation_report.html", "validation_report.md", "validation_report.json"}
    assert {path.name for path in (tmp_path / "report").iterdir()} == names
    assert (tmp_path / "report" / "validation_report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


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


def test_failed_expectations_are_named_critical_ones_first(table, tmp_path):
    _, markdown, content = written(table, tmp_path, [PASSED, WARNED, FAILED])
    assert f"- **critical** `class_size`: {FAILED.sentence}\n- **warning** `class_imbalance`" in markdown
    assert PASSED.sentence not in markdown
    assert "1 of 3 passed." in markdown
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
    assert "- Width: 32 to 64 pixels, median 32\n- Height: 24 to 48 pixels, median 24\n- Modes: RGB 15, L 1" in markdown
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
    assert "- 1 cannot be decoded: cat/000.png (image file is truncated)\n" in markdown
    assert "- 1 duplicates: dog/000.png (duplicate of dog/004.png)\n" in markdown
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
    assert "- 1 duplicates: index 12 (duplicate of dog/004.png)" in markdown
    assert (content["quarantined"][0]["path"], content["quarantined"][0]["index"]) == (None, 12)


def test_markdown_gives_few_examples_and_json_all(make_manifest, tmp_path):
    table = make_manifest(cat=300, dog=3)
    table.loc[:299, "status"] = "empty file: it has 0 bytes"
    findings = [(row, "mode", "is CMYK", False) for row in range(300)]
    pairs = [(row, row + 1, "near", 2) for row in range(300)]
    _, markdown, content = written(table, tmp_path, findings=findings, pairs=pairs)
    assert "cat/002.png (it has 0 bytes) and 297 more\n" in markdown
    assert "cat/002.png (is CMYK) and 297 more\n" in markdown
    assert len(markdown.splitlines()) < 50
    assert [len(content[key]) for key in ("quarantined", "pairs")] == [300, 300]
    assert len(content["findings"]["mode"]) == 300


def test_many_classes_are_summed_up_in_markdown(make_manifest, tmp_path):
    names = tuple(f"c{number}" for number in range(60))
    table = make_manifest(**{name: 3 + number for number, name in enumerate(names)})
    no_findings, no_pairs = (pd.DataFrame(columns=list(names)) for names in (FINDING_COLUMNS, PAIR_COLUMNS))
    write_report(CheckedData(table, names, no_findings, no_pairs, (PASSED,), (), ImageReader(None, None)), tmp_path)
    markdown = (tmp_path / "validation_report.md").read_text(encoding="utf-8")
    assert "- 60 classes of 3 to 62 usable images, median 32.5\n- The smallest: c0 3, c1 4," in markdown
    assert len(markdown.splitlines()) < 50


def test_findings_and_pairs_are_told_with_names(table, tmp_path):
    findings = [(3, "wrong_extension", "is WEBP, named .png", False), (12, "one_colour", "all black", True)]
    pairs = [(1, 2, "exact", 0), (0, 10, "near", 3), (4, 16, "exact", 0)]
    _, markdown, content = written(table, tmp_path, findings=findings, pairs=pairs)
    assert "- 1 of another format than the name says: cat/003.png (is WEBP, named .png)\n" in markdown
    assert "- Pairs of duplicates in two classes: 1 exact\n- Pairs of duplicates in two splits: 1 near\n" in markdown
    assert content["findings"]["wrong_extension"] == [
        {"image": "cat/003.png", "class_name": "cat", "detail": "is WEBP, named .png", "quarantined": False}
    ]
    assert content["findings"]["one_colour"][0]["quarantined"] is True
    assert content["pairs"][0] == {
        **{"first": "cat/004.png", "first_class": "cat", "first_split": "train"},
        **{"second": "dog/004.png", "second_class": "dog", "second_split": None},
        **{"kind": "exact", "distance": 0, "relation": "two classes"},
    }
    assert [pair["relation"] for pair in content["pairs"]] == ["two classes", "two splits", "one class"]


def test_names_cannot_break_the_summary(table, tmp_path):
    table.loc[12, "path"] = "a|b<script>*\n# head.png"
    _, markdown, content = written(table, tmp_path)
    assert "- 1 duplicates: a\\|b&lt;script>\\* # head.png (duplicate of" in markdown
    assert content["quarantined"][0]["path"] == "a|b<script>*\n# head.png"


def test_notes_are_passed_on(table, tmp_path):
    _, markdown, content = written(table, tmp_path, notes=("Two files had no class.", "Näher besehen."))
    assert "## Notes\n\n- Two files had no class.\n- Näher besehen.\n" in markdown
    assert content["notes"] == ["Two files had no class.", "Näher besehen."]


def test_the_same_data_give_the_same_report(table, tmp_path):
    first, again = (written(table, tmp_path / name, [FAILED, PASSED])[1:] for name in ("first", "again"))
    assert first == again
