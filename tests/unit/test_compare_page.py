"""The comparison's pictures: curves, costs, recalls and the images that only one model gets right."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.compare.answers import Answers
from tasks.compare.axes import make_axis
from tasks.compare.class_recalls import MOST_CLASSES, class_recalls
from tasks.compare.labels import Box, place_labels, shorten, spread
from tasks.compare.learning_curves import draw_learning_curves
from tasks.compare.lone_hits import find_lone_hits, ids_of
from tasks.compare.page import render_page
from tasks.compare.rows import make_row
from tasks.compare.table import Group
from tasks.compare.thumbnails import Thumbnails, take_thumbnails
from tasks.compare.trade_offs import draw_trade_offs
from tasks.image_id import image_id
from tasks.images import ImageReader
from tasks.manifest import conform, write
from tasks.tracking import LoggedRun

FIGURES = {"test_accuracy": 0.9, "test_accuracy_low": 0.87, "test_accuracy_high": 0.93, "parameters": 1e6}
NAMES = ("cat", "dog", "fox")
LABELS = np.array([0, 0, 1, 1, 2, 2])


def run_of(name, history=None, **figures):
    run_id = name.encode().hex().ljust(32, "0")[:32]
    metrics = {**FIGURES, "fit_seconds": 60.0, **figures}
    return LoggedRun(run_id, name, "digits", "d" * 64, True, {}, metrics, None, None, history or {})


def answers_of(predicted, labels=LABELS, names=NAMES, losses=None):
    predicted = np.array(predicted)
    ids = np.array([f"{row:064}" for row in range(len(labels))], dtype=object)
    losses = np.where(predicted == labels, 0.1, 3.0) if losses is None else np.array(losses)
    return Answers(ids, labels, tuple(names), predicted, losses)


def group_of(runs, answers=()):
    """The runs in this order, with the answers of the first ones."""
    rows = tuple(make_row(run, rank, rank == 1) for rank, run in enumerate(runs, 1))
    known = {run.run_id: said for run, said in zip(runs, answers, strict=False)}
    return Group("d" * 64, 6, rows, (), known, {run.run_id: run.history for run in runs if run.history})


# Axes and labels


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_an_axis_holds_its_values_and_has_few_round_ticks(values, logarithmic, upward):
    axis = make_axis(values, 300, logarithmic, upward)
    assert all(0 <= axis.place(value) <= 300 for value in values)
    assert all(-0.01 <= place <= 300.01 for place, _ in axis.ticks)
    assert 1 <= len(axis.ticks) <= 14
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_ticks_are_told_shortly():
    assert [text for _, text in make_axis([1e4, 1e7], 300, logarithmic=True).ticks] == ["10k", "100k", "1M", "10M"]
    assert [text for _, text in make_axis([0.42, 0.78], 300).ticks] == ["0.5", "0.6", "0.7"]


places = st.tuples(st.floats(10, 360), st.floats(10, 220))


@settings(max_examples=50)
@given(st.lists(places, min_size=1, max_size=14))
def test_no_label_covers_another_or_a_mark_or_leaves_the_chart(points):
    marks = [Box(x - 4, y - 4, 8, 8) for x, y in points]
    chart = Box(0, 0, 372, 230)
    names = [f"{rank} a_rather_long_name_of_a_model" for rank in range(len(points))]
    labels = place_labels(points, names, marks, chart)
    boxes = [label.box for label in labels if label]
    assert labels[0] is not None
    assert all(chart.holds(box) for box in boxes)
    assert not any(box.covers(other) for i, box in enumerate(boxes) for other in [*boxes[:i], *marks])


@given(st.lists(st.floats(0, 200), min_size=1, max_size=12))
def test_labels_beside_each_other_keep_their_distance_and_their_order(wanted):
    placed = np.array(spread(wanted, 13, 200))
    order = np.argsort(wanted, kind="stable")
    assert all(np.diff(placed[order]) >= 13 - 1e-9)
    assert placed.max() <= 200


def test_long_names_keep_both_ends():
    assert shorten("short") == "short"
    assert shorten("transfer_efficientnet_b0_unfrozen", 15) == "transfe…nfrozen"


# Sections


def test_curves_stand_over_each_other_and_diverged_epochs_leave_a_gap():
    good = {"val_accuracy": {1: 0.5, 2: 0.7, 3: 0.8}, "val_loss": {1: 2.0, 2: 1.0, 3: 0.5}}
    broken = {"val_loss": {1: 3.0, 2: float("nan"), 3: 2.5, 4: 2.4}}
    group = group_of([run_of("good", good), run_of("broken", broken), run_of("svm")])
    accuracy, loss = draw_learning_curves(group)
    assert [line.row.model for line in accuracy.lines] == ["good"]
    assert [(line.row.model, len(line.pieces)) for line in loss.lines] == [("good", 1), ("broken", 2)]
    assert loss.x.place(4) == loss.lines[1].end[0] > loss.lines[0].end[0]
    page = render_page([group], {})
    assert page.count("<polyline") == 4
    assert "No curves of <bdi>svm</bdi>" in page


def test_a_loss_that_explodes_does_not_flatten_the_others():
    histories = [{"val_loss": {1: 1.0, 2: top}} for top in (0.5, 5_000.0)]
    (panel,) = draw_learning_curves(group_of([run_of(f"m{i}", history) for i, history in enumerate(histories)]))
    assert panel.title == "Validation loss by epoch (logarithmic)"


def test_costs_are_told_of_the_models_that_know_them():
    known, unknown = run_of("known"), run_of("unknown", fit_seconds=float("nan"))
    seconds, parameters = draw_trade_offs(group_of([known, unknown]).rows)
    assert [point.row.model for point in seconds.points] == ["known"]
    assert [row.model for row in seconds.without] == ["unknown"]
    assert [point.label.text for point in parameters.points] == ["1 known", "2 unknown"]
    point = parameters.points[0]
    assert point.high < point.y < point.low  # downwards


def test_recalls_are_those_of_scikit_learn_the_hardest_class_first():
    from sklearn.metrics import recall_score

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    said = [answers_of(generator.integers(0, 3, 60), labels) for _ in range(2)]
    table = class_recalls(group_of([run_of("a"), run_of("b"), run_of("lost")], said))
    recalls = np.stack([recall_score(labels, one.predicted, average=None) for one in said], axis=1)
    hardest_first = recalls.mean(axis=1).argsort()
    assert [one.name for one in table.classes] == [NAMES[label] for label in hardest_first]
    assert [one.recalls for one in table.classes] == [tuple(row) for row in recalls[hardest_first]]
    assert [one.images for one in table.classes] == [int((labels == label).sum()) for label in hardest_first]
    assert (table.strength(table.low), table.strength(table.high)) == (0, 100)
    assert "no class predictions are at hand: <bdi>lost</bdi>" in render_page(
        [group_of([run_of("a"), run_of("lost")], said[:1])], {}
    )


def test_of_very_many_classes_those_are_shown_on_which_the_models_differ_most():
    labels = np.arange(500)
    names = [f"class {label}" for label in labels]
    right = answers_of(labels, labels, names)
    other = answers_of(np.where(labels % 5 == 0, (labels + 1) % 500, labels), labels, names)
    table = class_recalls(group_of([run_of("right"), run_of("other")], [right, other]))
    assert (len(table.classes), table.left_out) == (MOST_CLASSES, 300)
    assert {one.name for one in table.classes} >= {f"class {label}" for label in range(0, 500, 5)}


def test_images_that_only_one_model_gets_right_are_found_with_what_the_others_said():
    said = [answers_of(predicted) for predicted in ([0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 2, 1], [0, 0, 0, 2, 0, 2])]
    lone = find_lone_hits(group_of([run_of("a"), run_of("b"), run_of("c")], said))
    assert [(hits.row.model, hits.count) for hits in lone] == [("a", 2), ("b", 1), ("c", 1)]
    assert [(image.true, image.others) for image in lone[0].images] == [
        ("dog", "cat (2, 3)"),
        ("dog", "cat (2), fox (3)"),
    ]
    assert ids_of(lone) == [f"{row:064}" for row in (2, 3, 4, 5)]


def test_the_model_s_surest_come_first_and_few_are_shown():
    labels = np.zeros(20, dtype=np.int64)
    sure = answers_of(labels, labels, losses=np.linspace(2, 0, 20))
    lone = find_lone_hits(group_of([run_of("a"), run_of("b")], [sure, answers_of(labels + 1, labels)]))
    assert [int(image.image_id) for image in lone[0].images] == [19, 18, 17, 16, 15, 14, 13, 12]
    assert (lone[0].count, lone[1].count) == (20, 0)


def test_what_is_not_at_hand_is_told_in_a_sentence():
    page = render_page([group_of([run_of("a", parameters=float("nan"), fit_seconds=float("nan")), run_of("b")])], {})
    for sentence in (
        "No model has curves of a validation set",
        "as its figures are not known: <bdi>a</bdi>",
        "No class predictions of these models are at hand",
        "It takes two models whose class predictions are at hand",
    ):
        assert sentence in page
    said = [answers_of([0, 0, 1, 1, 2, 2]), answers_of([1, 0, 1, 1, 2, 2])]
    group = group_of([run_of("a"), run_of("b")], said)
    assert "The images are not at hand." in render_page([group], {})
    gone = render_page([group], {"d" * 64: Thumbnails(missing="The images are not at hand: they burned.")})
    assert "they burned" in gone
    assert "<img" not in gone
    assert "gone, or another image by now" in render_page([group], {"d" * 64: Thumbnails()})


# Thumbnails


@pytest.fixture
def images(tmp_path):
    """Three test images on the disk, and their manifest: small, large, and one that will change."""
    rows = []
    for name, size in (("small", (8, 6)), ("large", (300, 200)), ("changed", (8, 6))):
        pixels = np.random.default_rng(len(rows)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        rows.append({"image_id": image_id(pixels), "path": f"{name}.png", "split": "test", "status": "ok"})
    table = pd.DataFrame(rows).assign(label=0, class_name="cat", source="folder", bytes=1)
    write(conform(table), tmp_path / "manifest.parquet")
    return tmp_path, [row["image_id"] for row in rows]


def test_thumbnails_show_the_images_of_those_ids_and_no_others(images):
    folder, (small, large, changed) = images
    Image.new("RGB", (8, 6)).save(folder / "changed.png")
    taken = take_thumbnails(folder / "manifest.parquet", ImageReader(folder, None), [small, large, changed])
    assert taken.missing == ""
    assert set(taken.uris) == {small, large}
    assert taken.uris[small].startswith("data:image/png;base64,")
    assert taken.uris[large].startswith("data:image/jpeg;base64,")
    assert len(taken.uris[large]) < 20_000
    (folder / "small.png").unlink()
    assert set(take_thumbnails(folder / "manifest.parquet", ImageReader(folder, None), [small, large]).uris) == {large}


def test_thumbnails_stand_in_the_page(images):
    folder, (small, *_) = images
    said = [answers_of([0, 0, 1, 1, 2, 2]), answers_of([1, 0, 1, 1, 2, 2])]
    said = [replace(one, image_ids=np.array([small, *"bcdef"], dtype=object)) for one in said]
    taken = take_thumbnails(folder / "manifest.parquet", ImageReader(folder, None), [small])
    page = render_page([group_of([run_of("a"), run_of("b")], said)], {"d" * 64: taken})
    assert page.count(taken.uris[small]) == 1
