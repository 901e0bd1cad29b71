"""The manifest's table and its digest: what names a version of a data set, and what does not."""

import numpy as np
import pandas as pd
import pytest

from tasks import manifest as manifests
from tasks.manifest import COLUMNS, DTYPES, conform, digest, usable


@pytest.fixture
def table(make_manifest):
    """Twelve cats and eight dogs, the first of each for testing, the last of each broken."""
    made = make_manifest(cat=12, dog=8)
    splits = ["test"] + ["train"] * 10 + [None] + ["test"] + ["train"] * 6 + [None]
    broken = made.index.isin([11, 19])
    return made.assign(split=splits, status=np.where(broken, "truncated", "ok"))


def changed(table, row, **values):
    copy = table.copy()
    for column, value in values.items():
        copy.loc[row, column] = value
    return copy


# Columns


def test_conform_gives_every_column_in_order_with_its_type():
    made = conform(pd.DataFrame({"label": [1, 0], "image_id": ["b", "a"], "bytes": [5, 6], "index": [3, 4]}))
    assert tuple(made.columns) == COLUMNS
    assert {column: str(kind) for column, kind in made.dtypes.items()} == DTYPES
    assert made["image_id"].tolist() == ["b", "a"]
    assert made["path"].isna().all()


def test_conform_leaves_out_columns_of_others_and_numbers_the_rows_anew():
    made = conform(pd.DataFrame({"label": [1, 0], "bytes": 1, "other": 2}, index=[7, 3]))
    assert "other" not in made
    assert made.index.tolist() == [0, 1]
    assert made["label"].tolist() == [1, 0]


def test_conform_changes_nothing_the_second_time(table):
    pd.testing.assert_frame_equal(conform(table), conform(conform(table)))


def test_usable_rows_are_the_sound_ones_of_the_split(table):
    assert usable(table).index.tolist() == [number for number in range(20) if number not in (11, 19)]
    assert usable(table, "test").index.tolist() == [0, 12]
    assert usable(table, "validation").empty


# Digest


def test_digest_is_64_hex_digits(table):
    assert len(digest(table)) == 64
    assert set(digest(table)) <= set("0123456789abcdef")


@pytest.mark.parametrize("seed", range(3))
def test_digest_does_not_hang_on_the_order_of_rows(table, seed):
    assert digest(table.sample(frac=1, random_state=seed)) == digest(table)


@pytest.mark.parametrize(
    "values",
    [{"path": "elsewhere/1.png"}, {"source": "other"}, {"index": 5}, {"bytes": 1}, {"sha256": "f" * 64}],
    ids=lambda values: next(iter(values)),
)
def test_digest_does_not_hang_on_where_the_files_lie(table, values):
    assert digest(changed(table, 3, **values)) == digest(table)


@pytest.mark.parametrize(
    "values",
    [
        {"image_id": "f" * 64},
        {"label": 1},
        {"class_name": "lynx"},
        {"split": "validation"},
        {"split": None},
        {"status": "truncated"},
        {"box_x": 0.25},
    ],
    ids=lambda values: "-".join(map(str, next(iter(values.items())))),
)
def test_digest_tells_versions_of_the_data_apart(table, values):
    assert digest(changed(table, 3, **values)) != digest(table)


def test_digest_does_not_hang_on_why_an_image_is_quarantined(table):
    assert digest(changed(table, 11, status="another reason")) == digest(table)
    assert digest(changed(table, 11, status="ok")) != digest(table)


def test_digest_tells_a_missing_and_a_repeated_row_apart(table):
    digests = {digest(table), digest(table.iloc[1:]), digest(pd.concat([table, table.iloc[:1]]))}
    assert len(digests) == 3


def test_digest_is_the_same_on_every_machine(make_manifest):
    pinned = "a3ae020d57cf43c6e6e2d5f6d2fefd2d9379eb60713e9fce69a0889bda63a85c"
    assert digest(make_manifest(cat=2, dog=1)) == pinned


# Files


def test_written_manifest_reads_back_the_same(table, tmp_path):
    path = tmp_path / "new" / "manifest.parquet"
    manifests.write(table, path)
    read = manifests.read(path)
    pd.testing.assert_frame_equal(read, table)
    assert digest(read) == digest(table)
    assert list(path.parent.iterdir()) == [path]


def test_manifest_of_nulls_reads_back_with_its_types(tmp_path):
    made = conform(pd.DataFrame({"label": [0], "bytes": [1]}))
    manifests.write(made, tmp_path / "manifest.parquet")
    pd.testing.assert_frame_equal(manifests.read(tmp_path / "manifest.parquet"), made)
