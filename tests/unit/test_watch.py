"""What changed between two manifests, and whether new images are like the old ones."""

import colorsys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks import manifest as manifests
from tasks.watch.differences import compare_manifests, tell_differences
from tasks.watch.drift import find_drifts
from tasks.watch.markdown import as_markdown
from tasks.watch.picture import draw_changes
from tasks.watch.pixel_statistics import contrast, saturation


def manifest(classes, **columns):
    """A manifest of images `id -> class`, all usable and in the training split unless columns say otherwise."""
    ids = list(classes)
    rows = {
        "image_id": ids,
        "path": [f"{name}.png" for name in ids],
        "label": 0,
        "class_name": list(classes.values()),
        "bytes": 1,
        "split": "train",
        "status": "ok",
    }
    return manifests.conform(pd.DataFrame(rows | columns, index=range(len(ids))))


BEFORE = {"a": "cat", "b": "cat", "c": "dog"}


def told(after, **columns):
    return tell_differences(compare_manifests(manifest(BEFORE), manifest(after, **columns)))


def test_added_removed_and_relabelled_images_are_told_with_the_balance_of_their_classes():
    assert told({"a": "cat", "b": "dog", "d": "dog", "e": "dog"}) == [
        "2 images added (2 dog)",
        "1 image removed (1 dog)",
        "1 image relabelled (b.png from cat to dog)",
        "class balance: cat 2 (67%) → 1 (25%), dog 1 (33%) → 3 (75%)",
    ]


def test_an_image_that_is_quarantined_counts_as_removed():
    assert told(BEFORE, status=["ok", "too small", "ok"])[0] == "1 image removed (1 cat)"


def test_other_splits_are_told_but_not_of_data_that_could_not_be_split():
    assert told(BEFORE, split=["test", "train", "train"]) == ["1 image that stayed is in another split or fold"]
    assert told(BEFORE, split=None) == ["the same images with the same labels, counted or numbered in another way"]


def test_moved_boxes_are_told():
    assert told(BEFORE, box_x=[0.5, np.nan, np.nan]) == ["1 image that stayed has another box"]


@settings(max_examples=25)
@given(
    before=st.dictionaries(st.integers(0, 30), st.sampled_from("xyz")),
    after=st.dictionaries(st.integers(0, 30), st.sampled_from("xyz")),
)
def test_every_image_is_counted_once(before, after):
    before, after = ({str(name): label for name, label in each.items()} for each in (before, after))
    found = compare_manifests(manifest(before), manifest(after))
    assert set(found.added.index) == set(after) - set(before)
    assert set(found.removed.index) == set(before) - set(after)
    assert len(found.relabelled) == sum(before[name] != after[name] for name in set(before) & set(after))
    assert list(found.balance.sum()) == [len(before), len(after)]
    assert tell_differences(found)


def test_a_shift_is_found_with_its_size_and_none_is_found_in_chance():
    random = np.random.default_rng(0)
    old = random.normal(100, 20, 500)
    statistics = {"shifted": (old, random.normal(130, 20, 60)), "alike": (old, random.normal(100, 20, 60))}
    shifted, alike = find_drifts(statistics)
    assert (shifted.differs, alike.differs) == (True, False)
    assert shifted.distance == pytest.approx(0.55, abs=0.12)  # of normals 1.5 deviations apart
    assert shifted.sentence.startswith("shifted: new images differ from the old ones, median 99")


def test_a_true_hypothesis_is_seldom_rejected_among_six_statistics():
    random = np.random.default_rng(1)
    found = sum(
        any(drift.differs for drift in find_drifts({str(n): (random.random(80), random.random(20)) for n in range(6)}))
        for _ in range(200)
    )
    assert found <= 20  # 5 % are 10; more than 20 of 200 happen once in 800 times


def test_a_statistic_without_numbers_is_left_out():
    empty, nothing = np.empty(0), np.array([np.nan])
    assert find_drifts({"a": (empty, np.ones(3)), "b": (np.ones(3), nothing)}) == ()


def test_contrast_and_saturation_are_those_of_the_definitions():
    pixels = np.random.default_rng(2).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    pixels[0, 0, 0] = 0
    for one, its_contrast, its_saturation in zip(pixels, contrast(pixels), saturation(pixels), strict=True):
        grey = np.asarray(Image.fromarray(one).convert("L"), dtype=float)
        assert its_contrast == pytest.approx(grey.std(), abs=0.5)
        hsv = [colorsys.rgb_to_hsv(*(pixel / 255))[1] for pixel in one.reshape(-1, 3)]
        assert its_saturation == pytest.approx(np.mean(hsv))


@pytest.mark.parametrize("classes", [2, 30])
def test_the_picture_and_the_page_show_what_changed(tmp_path, classes):
    balance = compare_manifests(
        manifest({str(n): f"class {n % classes}" for n in range(90)}),
        manifest({str(n): f"class {n % classes} |<b>" for n in range(60)}),
    ).balance
    drifts = find_drifts({"brightness": (np.arange(60.0), np.arange(40.0, 80.0))}) if classes == 2 else ()
    draw_changes(balance, drifts, tmp_path / "changes.png", "$5 to $10")
    with Image.open(tmp_path / "changes.png") as picture:
        assert min(picture.size) > 300
    page = as_markdown("a|b", ["one <b>"], balance, drifts)
    assert "one &lt;b>" in page
    assert ("| brightness | 60 | 40 |" in page) == (classes == 2)
    assert "class 0 \\|&lt;b>" in page
