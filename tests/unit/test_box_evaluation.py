"""Boxes in the evaluation: IoU, its metrics, the picture, the curves, and the comparison of models without accuracy."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flows.summary import show_evaluated
from pipeline_config.metric_names import HIGHER_IS_BETTER
from tasks import predictions
from tasks.boxes import iou
from tasks.evaluate.artifacts import write_evaluation
from tasks.evaluate.box_gallery import draw_boxes, sample_and_worst
from tasks.evaluate.metrics import test_metrics as metrics_of  # pytest would collect it by its own name
from tasks.picture_style import FIRST, SECOND
from tasks.progress import console
from tasks.promote.challenger import choose_challenger
from tasks.promote.gates import Side, champion_gates
from tasks.records import EvaluatedModel
from tasks.statistics import mean_interval
from tasks.train.box_diagnosis import diagnose_boxes
from tasks.train.curves import draw_curves

NAMES = ["cat", "a dog with a very long name indeed"]
HERE = (0.2, 0.2, 0.4, 0.4)
OF_CLASSES = {"classification_report.csv", "confusion_matrix.png", "confident_mistakes.png"}


def table_of(true, predicted, with_classes=False, right=None):
    """`right(row)`: whether the class is; else the labels are all 0 and there is no class head."""
    count = len(true)
    probabilities = None
    if with_classes or right:
        hits = [right(row) if right else True for row in range(count)]
        probabilities = np.where(np.array(hits)[:, None], [0.9, 0.1], [0.1, 0.9])
    ids = [f"{row:03}" for row in range(count)]
    return predictions.make_table(ids, [0] * count, probabilities, NAMES, (np.array(true), np.array(predicted)))


def shifted_table(count, with_classes=False):
    """Boxes that lie the further beside the true ones the later their row is."""
    shift = np.linspace(0, 0.4, count)
    predicted = np.tile(HERE, (count, 1))
    predicted[:, 0] += shift
    return table_of(np.tile(HERE, (count, 1)), predicted, with_classes)


def found_table(found, right=None):
    """100 rows; `found(row)`: the box is the true one, else one beside it."""
    predicted = [HERE if found(row) else (0.6, 0.6, 0.2, 0.2) for row in range(100)]
    return table_of([HERE] * 100, predicted, right=right)


def read_pixels(image_id):
    height, width = [(48, 64), (300, 200), (64, 64)][int(image_id) % 3]
    return np.full((height, width, 3), 128, dtype=np.uint8)


# IoU

sides = st.floats(0.01, 1)
boxes = st.tuples(st.floats(0, 1), st.floats(0, 1), sides, sides).map(
    lambda drawn: np.array([drawn[0] * (1 - drawn[2]), drawn[1] * (1 - drawn[3]), drawn[2], drawn[3]])
)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 0.5, 0.5), (0, 0, 0.5, 0.5), 1),
        ((0, 0, 0.4, 0.5), (0.2, 0, 0.4, 0.5), 1 / 3),
        ((0, 0, 1, 1), (0.25, 0.25, 0.5, 0.5), 1 / 4),
        ((0.1, 0.1, 0.2, 0.4), (0.2, 0.3, 0.2, 0.4), 0.02 / 0.14),
        ((0, 0, 0.2, 0.2), (0.2, 0, 0.2, 0.2), 0),
        ((0, 0, 0.2, 0.2), (0.7, 0.7, 0.2, 0.2), 0),
        ((0.5, 0.5, 0, 0), (0.5, 0.5, 0, 0), 0),
    ],
    ids=["equal", "half beside", "inside", "corner", "touching", "apart", "without size"],
)
def test_iou_of_cases_computed_by_hand(first, second, expected):
    assert iou(np.array(first), np.array(second)) == pytest.approx(expected)


@settings(max_examples=200)
@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1_and_1_for_equal_boxes(first, second):
    assert 0 <= iou(first, second) <= 1
    assert iou(first, second) == pytest.approx(iou(second, first))
    assert iou(first, first) == pytest.approx(1)


# The table and its metrics


def test_table_gives_back_true_and_predicted_boxes(tmp_path):
    true, predicted = np.random.default_rng(0).random((2, 5, 4))
    predictions.write(table_of(true, predicted), tmp_path / "predictions.parquet")
    read = predictions.read(tmp_path / "predictions.parquet")
    np.testing.assert_array_equal(predictions.true_boxes(read), true)
    np.testing.assert_array_equal(predictions.predicted_boxes(read), predicted)
    assert (predictions.has_boxes(read), predictions.has_classes(read)) == (True, False)
    assert [name for name in read.columns if "box" in name][::4] == ["box_x", "predicted_box_x"]


def test_metrics_of_boxes_counted_by_hand():
    half = (0.2, 0.2, 0.4, 0.2)
    metrics = metrics_of(table_of([HERE] * 4, [HERE, HERE, half, (0.7, 0.7, 0.2, 0.2)]))
    assert metrics["test_mean_iou"] == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert metrics["test_mean_iou_low"] < metrics["test_mean_iou"] < metrics["test_mean_iou_high"]
    assert metrics["test_iou_above_50"] == 3 / 4
    assert metrics["test_iou_above_75"] == 2 / 4
    assert "test_accuracy" not in metrics
    assert metrics.keys() <= HIGHER_IS_BETTER.keys()


def test_both_heads_have_the_metrics_of_both():
    metrics = metrics_of(shifted_table(20, with_classes=True))
    assert metrics["test_accuracy"] == 1
    assert "test_mean_iou" in metrics


def test_interval_of_a_mean_is_about_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.6, 0.2, 400)
    interval = mean_interval(values)
    half = 1.96 * values.std() / 20
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)
    assert interval == mean_interval(values)
    assert np.isnan(mean_interval(values[:1]).low)


# The pictures


@pytest.mark.parametrize("with_classes", [False, True])
def test_evaluation_writes_what_the_heads_make_sense_of(tmp_path, with_classes):
    metrics = write_evaluation(shifted_table(30, with_classes), read_pixels, tmp_path, "boxes")
    written = {file.name for file in tmp_path.iterdir()}
    assert {"predictions.parquet", "metrics.json", "boxes.png"} <= written
    assert (written >= OF_CLASSES) == with_classes
    assert bool(OF_CLASSES & written) == with_classes
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def count_of(colour, path):
    """Pixels of exactly that colour."""
    red_green_blue = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    with Image.open(path) as image:
        return int((np.asarray(image.convert("RGB")) == red_green_blue).all(axis=2).sum())


def test_true_and_predicted_boxes_are_drawn_in_two_colours(tmp_path):
    here, nowhere = table_of([HERE], [HERE]), table_of([HERE], [(np.nan,) * 4])
    for name, table in (("both", shifted_table(4)), ("one", here.iloc[:1]), ("none", nowhere)):
        draw_boxes(table, read_pixels, tmp_path / f"{name}.png", "boxes")
    counts = {
        name: [count_of(colour, tmp_path / f"{name}.png") for colour in (FIRST, SECOND)] for name in ("both", "none")
    }
    assert min(counts["both"]) > 500
    assert counts["none"][0] > counts["none"][1]


def test_half_is_chosen_at_random_and_half_are_the_worst_of_the_others_in_any_order_of_rows():
    table = shifted_table(60)
    random, worst = sample_and_worst(table, 11)
    assert (len(random), len(worst)) == (6, 5)
    assert not set(random) & set(worst)
    assert (np.diff(predictions.ious(table)[worst]) >= 0).all()
    left_out = np.setdiff1d(np.arange(60), np.concatenate([random, worst]))
    assert predictions.ious(table)[left_out].min() >= predictions.ious(table)[worst].max()
    shuffled = table.sample(frac=1, random_state=1)
    for rows, again in zip((random, worst), sample_and_worst(shuffled, 11), strict=True):
        assert table["image_id"].iloc[rows].tolist() == shuffled["image_id"].iloc[again].tolist()


def test_curves_of_both_heads_have_a_panel_for_each_loss_in_a_row_of_their_own(tmp_path):
    falling = [1.0, 0.6, 0.4]
    series = ("loss", "class_loss", "box_loss", "accuracy", "mean_iou")
    history = {f"{split}_{name}": falling for split in ("train", "val") for name in series}
    draw_curves(history, 2, "boxes", tmp_path / "both.png")
    alone = {
        name: values for name, values in history.items() if name.endswith(("_loss", "iou")) and "class" not in name
    }
    draw_curves(alone, 2, "boxes", tmp_path / "alone.png")
    with Image.open(tmp_path / "both.png") as both, Image.open(tmp_path / "alone.png") as box:
        assert both.height == pytest.approx(2 * box.height, rel=0.15)  # three panels above two; two beside each other
        assert both.width == pytest.approx(1.5 * box.width, rel=0.15)


# Without accuracy


def side(table, title="the challenger"):
    return Side(title, table, "t" * 64, "d" * 64)


def gates_of(ours, theirs):
    return {gate.name: gate for gate in champion_gates(side(ours), side(theirs, "the champion"))}


def test_models_of_boxes_alone_are_compared_by_what_they_find():
    gates = gates_of(found_table(lambda row: row >= 10), found_table(lambda row: row >= 40))
    assert all(gate.passed for gate in gates.values())
    told = gates["not_worse_than_champion"].detail
    assert "the challenger has 90 of 100 right, the champion 60" in told
    assert "(right: a box with an IoU of at least 0.5)" in told
    worse = gates_of(found_table(lambda row: row >= 40), found_table(lambda row: row >= 10))
    assert not worse["not_worse_than_champion"].passed


def test_models_with_both_heads_are_right_where_both_are():
    ours = found_table(lambda row: row >= 30, right=lambda row: row < 70)
    theirs = found_table(lambda _: True, right=lambda row: row < 80)
    told = gates_of(ours, theirs)["not_worse_than_champion"].detail
    assert "the challenger has 40 of 100 right, the champion 80" in told
    assert "the class and a box" in told


def test_models_are_compared_by_the_head_that_both_have():
    both, boxes_alone = found_table(lambda row: row < 50, right=lambda _: True), found_table(lambda row: row < 60)
    assert "has 50 of 100 right, the champion 60" in gates_of(both, boxes_alone)["not_worse_than_champion"].detail


def test_models_without_a_head_in_common_are_not_compared():
    classes = predictions.make_table(
        [f"{row:03}" for row in range(100)], [0] * 100, np.tile([0.9, 0.1], (100, 1)), NAMES
    )
    gates = gates_of(classes, found_table(lambda _: True))
    assert set(gates) == {"same_heads"}
    assert not gates["same_heads"].passed


def evaluated(name, **metrics):
    return EvaluatedModel(name, "class_and_box", "run", "model", "uri", None, "t" * 64, {"fit_seconds": 1.0, **metrics})


def test_challenger_may_be_the_best_by_iou_and_a_model_without_boxes_ranks_last():
    models = [
        evaluated("classes", chosen_val_accuracy=1.0, chosen_val_loss=0.01),
        evaluated("worse", chosen_val_mean_iou=0.5, chosen_val_loss=0.2),
        evaluated("better", chosen_val_mean_iou=0.7, chosen_val_loss=0.4),
    ]
    assert choose_challenger(models, "val_mean_iou").model.name == "better"
    assert choose_challenger(models[1:], "val_accuracy").model.name == "worse"  # nobody has one: by the loss


def test_table_of_models_has_the_columns_that_any_of_them_has():
    ious = {"test_mean_iou": 0.61234, "test_mean_iou_low": 0.58, "test_mean_iou_high": 0.64, "parameters": 1234}
    with console.capture() as captured:
        show_evaluated(evaluated("box", **ious))
    told = captured.get()
    assert "0.6123" in told
    assert "0.5800..0.6400" in told
    assert "1,234" in told
    assert "test acc" not in told


@pytest.mark.parametrize(
    ("train", "validation", "loss", "kind"),
    [
        (0.8, 0.75, 0.3, "good"),
        (0.9, 0.6, 0.3, "overfitting"),
        (0.3, 0.28, 0.3, "underfitting"),
        (0.8, 0.75, float("nan"), "diverged"),
    ],
)
def test_training_of_boxes_alone_is_judged_by_its_iou(train, validation, loss, kind):
    history = {"train_loss": [loss], "val_loss": [0.3], "train_mean_iou": [train], "val_mean_iou": [validation]}
    assert diagnose_boxes(history, 1).kind == kind
