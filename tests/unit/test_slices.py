"""Slices of the test rows: which rows they hold, how the model does on them, the files."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks import predictions
from tasks.evaluate.slices import accuracy_by_slice, write_slices
from tasks.evaluate.slices_of_rows import Slice, slice_rows
from tasks.evaluate.slices_picture import MOST_SLICES, worst_slices


@pytest.fixture
def rows(make_manifest):
    """20 cats and 20 dogs, alike in all else."""
    return make_manifest(cat=20, dog=20).assign(brightness=100.0)


def predict(rows, right):
    """The table of a model that is right where `right` is."""
    labels, names = rows["label"].to_numpy(), list(dict.fromkeys(rows["class_name"]))
    guesses = np.where(right, labels, (labels + 1) % len(names))
    return predictions.make_table(list(rows["image_id"]), labels, np.eye(len(names))[guesses], names)


def members(slices, kind):
    return {part.value: np.flatnonzero(part.members).tolist() for part in slices if part.kind == kind}


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_rows_that_are_alike_but_for_their_class_have_slices_of_it_alone(rows):
    slices = slice_rows(rows)

    assert {part.kind for part in slices} == {"class"}
    assert members(slices, "class") == {"cat": list(range(20)), "dog": list(range(20, 40))}


def test_sizes_and_brightness_are_parted_into_quarters_named_by_their_ends(rows):
    slices = slice_rows(rows.assign(width=np.arange(1, 41), height=10, brightness=np.arange(40) + 0.5))

    assert list(members(slices, "image size")) == [
        "10 to 100 pixels",
        "110 to 200 pixels",
        "210 to 300 pixels",
        "310 to 400 pixels",
    ]
    assert members(slices, "image size")["110 to 200 pixels"] == list(range(10, 20))
    assert next(iter(members(slices, "aspect"))) == "0.10 to 1.00 times as wide as high"
    assert {len(part) for part in members(slices, "brightness").values()} == {10}


def test_shared_values_make_fewer_parts_and_never_an_empty_one(rows):
    mostly_small = slice_rows(rows.assign(width=[32] * 36 + [40] * 4))
    assert members(mostly_small, "image size") == {
        "768 pixels": list(range(36)),
        "960 pixels": list(range(36, 40)),
    }
    mostly_large = slice_rows(rows.assign(width=[20] * 4 + [32] * 36))
    assert members(mostly_large, "image size")["480 pixels"] == list(range(4))


def test_rows_without_the_value_are_in_no_part(rows):
    unknown = rows.assign(width=[None] * 5 + list(range(35))).astype({"width": "Int64"})
    brightness = np.where(np.arange(40) < 30, np.nan, np.arange(40))
    slices = slice_rows(unknown.assign(brightness=brightness))

    assert sum(map(len, members(slices, "image size").values())) == 35
    assert sum(map(len, members(slices, "brightness").values())) == 10


def test_other_columns_with_few_values_are_slices_but_no_ids_and_no_split(rows):
    slices = slice_rows(rows.assign(mode=["L"] * 10 + ["RGB"] * 30, source=[f"web{row}" for row in range(40)]))

    assert {part.kind for part in slices} == {"class", "mode"}
    assert members(slices, "mode")["L"] == list(range(10))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.integers(0, 6), st.floats(0, 255), st.just(float("nan"))), min_size=1, max_size=40))
def test_parts_are_disjoint_hold_every_known_row_and_are_ordered(levels):
    levels = np.array(levels, dtype=np.float64)
    table = pd.DataFrame({"class_name": "cat", "width": 3.0, "height": 4.0}, index=range(len(levels)))
    parts = slice_rows(table.assign(brightness=levels))

    if len(np.unique(levels[~np.isnan(levels)])) < 2:
        assert not parts
        return
    held = np.sum([part.members for part in parts], axis=0)
    assert (held == ~np.isnan(levels)).all()
    assert 2 <= len(parts) <= 4
    for lower, higher in itertools.pairwise(parts):
        assert levels[lower.members].max() < levels[higher.members].min()


def test_scores_of_the_case_counted_by_hand():
    correct = np.array([True] * 5 + [False] * 3 + [True] * 2)
    first = np.arange(10) < 5
    scores = accuracy_by_slice(correct, [Slice("mode", "L", ~first), Slice("mode", "RGB", first)]).set_index("value")

    assert scores["rows"].tolist() == [5, 5]
    assert scores.loc["L", "accuracy"] == pytest.approx(2 / 5)
    assert 0 <= scores.loc["L", "low"] < 2 / 5 < scores.loc["L", "high"] <= 1
    # All three mistakes among five of ten: C(5,3) / C(10,3) = 1/12; twice that as the lesser of two.
    assert scores.loc["L", "p_value"] == pytest.approx(2 / 12)
    assert scores.loc["RGB", "p_value"] == pytest.approx(1)


def test_what_chance_does_not_explain_is_called_worse():
    dark = np.arange(400) < 100
    correct = np.random.default_rng(0).random(400) < np.where(dark, 0.6, 0.9)
    scores = accuracy_by_slice(correct, [Slice("brightness", "dark", dark), Slice("brightness", "light", ~dark)])

    assert scores["worse"].tolist() == [True, False]


def test_among_many_slices_chance_alone_is_seldom_called_worse():
    generator = np.random.default_rng(0)

    def finds_one():
        parts = [Slice("part", str(part), generator.permutation(200) < 40) for part in range(20)]
        return accuracy_by_slice(generator.random(200) < 0.8, parts)["worse"].any()

    assert np.mean([finds_one() for _ in range(40)]) <= 0.1


def test_classes_stand_first_from_the_worst_on(rows):
    right = np.array([True] * 20 + [False] * 10 + [True] * 10)
    scores = accuracy_by_slice(right, slice_rows(rows.assign(mode=["L", "RGB"] * 20)))

    assert scores["value"].tolist() == ["dog", "cat", "L", "RGB"]
    assert accuracy_by_slice(right, []).columns.tolist() == scores.columns.tolist()


def test_files_are_the_same_in_any_order_of_table_and_rows(rows, tmp_path):
    right, brightness = np.arange(40) % 3 > 0, np.arange(40.0)
    rows["width"] = np.arange(40) + 10
    table = predict(rows, right)
    rows = rows.assign(brightness=brightness)
    write_slices(table, rows, tmp_path / "one", "cnn")
    order = np.random.default_rng(0).permutation(40)
    write_slices(table.sample(frac=1, random_state=1), rows.iloc[order], tmp_path / "two", "cnn")

    for name in ("slices.csv", "slices.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    written = pd.read_csv(tmp_path / "one" / "slices.csv")
    assert list(written) == ["slice", "value", "rows", "accuracy", "low", "high", "p_value", "worse"]
    for _, parts in written.groupby("slice"):
        assert np.average(parts["accuracy"], weights=parts["rows"]) == pytest.approx(right.mean())


def test_boxes_are_counted_where_there_are_no_classes(rows, tmp_path):
    true = np.tile([0.2, 0.2, 0.4, 0.4], (40, 1))
    found = np.where(np.arange(40)[:, None] < 20, true, [0.7, 0.7, 0.2, 0.2])
    table = predictions.make_table(list(rows["image_id"]), rows["label"], None, ["cat", "dog"], (true, found))
    scores = write_slices(table, rows, tmp_path, "boxes").set_index("value")

    assert scores["accuracy"].to_dict() == {"cat": 1.0, "dog": 0.0}
    assert scores["worse"].to_dict() == {"cat": False, "dog": True}


def test_image_without_a_row_is_refused_in_a_sentence(rows, tmp_path):
    with pytest.raises(ValueError, match="manifest row of each"):
        write_slices(predict(rows, True), rows.iloc[1:], tmp_path, "cnn")
    assert not list(tmp_path.iterdir())


def test_of_many_slices_the_worst_are_drawn_and_nothing_runs_into_the_edge(make_manifest, tmp_path):
    names = [f"american staffordshire terrier of $kennel$ number {label}" for label in range(60)]
    rows = make_manifest(**dict.fromkeys(names, 5))
    right = np.random.default_rng(0).random(300) < np.where(rows["label"] < 10, 0.1, 0.9)
    scores = write_slices(
        predict(rows, right), rows.assign(brightness=np.arange(300.0)), tmp_path, "a model of a long name " * 6
    )

    shown = worst_slices(scores)
    assert len(shown) == MOST_SLICES < len(scores)
    assert set(scores.index[scores["worse"]]) <= set(shown.index)
    assert shown["p_value"].max() <= scores.drop(shown.index)["p_value"].min()
    pixels = pixels_of(tmp_path / "slices.png")
    assert all(300 < side < 2600 for side in pixels.shape[:2])
    for edge in (pixels[:6], pixels[-6:], pixels[:, :6], pixels[:, -6:]):
        assert (edge == 255).all()


def test_clearly_worse_slice_is_red(rows, tmp_path):
    def reds(right):
        write_slices(predict(rows, right), rows, tmp_path, "cnn")
        pixels = pixels_of(tmp_path / "slices.png")
        return int(((pixels[..., 0] - pixels[..., 2]) > 100).sum())

    assert reds(np.arange(40) < 20) > 100
    assert reds(np.arange(40) % 2 == 0) == 0


def test_rows_without_slices_make_a_picture_that_says_so(make_manifest, tmp_path):
    rows = make_manifest(cat=3)
    table = predictions.make_table(list(rows["image_id"]), [0] * 3, np.eye(2)[[0, 0, 1]], ["cat", "dog"])

    assert write_slices(table, rows.assign(brightness=9.0), tmp_path, "cnn").empty
    assert pixels_of(tmp_path / "slices.png").std() > 5
