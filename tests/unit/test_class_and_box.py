"""One model for class and box: what it answers, what it learns from, what it refuses."""

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Model, Train
from tasks import predictions
from tasks.input_pipeline import ImageSet, ordered_batches, training_batches
from tasks.manifest import BOX_COLUMNS
from tasks.prediction import predict_split
from tasks.train.box_measures import giou_loss, mean_iou
from tasks.train.compiling import compile_model, named
from tasks.train.fit import fit_model
from tasks.train.outcome import diagnose_stage, measure_fit
from tasks.train.registry import build_model, checked_params
from tasks.train.targets import random_batch, training_data, validation_data

SIDE = 16
SHAPE = (SIDE, SIDE, 3)
NAMES = ("red", "green")
TINY = {"filters": [4, 8], "dense_units": [16]}
CURVES = ("loss", "class_loss", "box_loss", "accuracy", "mean_iou")


def section(params=None, **train):
    return Model(name="boxes", family="class_and_box", params={**TINY, **(params or {})}, train=Train(**train))


def build(heads=("class", "box"), classes=2, **params):
    return build_model(section({"heads": list(heads), **params}), SHAPE, classes)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """72 dark images with a bright square of one colour each, whose box and class are known."""
    random = np.random.default_rng(0)
    count = 72
    side, labels = random.integers(5, 11, count), np.arange(count) % 2
    left, top = (random.integers(0, SIDE - side + 1) for _ in range(2))
    pixels = random.integers(0, 40, (count, *SHAPE), dtype=np.uint8)
    for number in range(count):
        rows, columns = (slice(start[number], start[number] + side[number]) for start in (top, left))
        pixels[number, rows, columns, labels[number]] = 250
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, pixels)
    splits = ["train"] * 48 + ["validation"] * 12 + ["test"] * 12
    columns = {"image_id": [f"{number:02}" for number in range(count)], "label": labels, "split": splits}
    boxes = dict(zip(BOX_COLUMNS, np.array([left, top, side, side]) / SIDE, strict=True))
    return ImageSet(pd.DataFrame({**columns, **boxes}), path)


@pytest.fixture(scope="module")
def trained(images):
    """Both heads, after some epochs."""
    made = section(epochs=12, batch_size=12, learning_rate=0.01, label_smoothing=0.05)
    network = build_model(made, SHAPE, 2)
    return network, fit_model(network, images, made.train, "boxes")


@pytest.fixture(scope="module")
def trained_boxes(images):
    """The box head alone, after one epoch."""
    made = section({"heads": ["box"]}, epochs=1, batch_size=24)
    network = build_model(made, SHAPE, 1)
    return network, fit_model(network, images, made.train, "boxes")


# What it answers


def test_both_heads_answer_by_their_names(trained, images):
    answer = trained[0].predict_on_batch(images.pixels[:5])
    assert {head: values.shape for head, values in answer.items()} == {"probabilities": (5, 2), "box": (5, 4)}


def test_box_alone_is_a_dict_and_class_alone_a_classifier_like_any_other(images):
    assert build(["box"]).predict_on_batch(images.pixels[:5])["box"].shape == (5, 4)
    assert build(["class"]).predict_on_batch(images.pixels[:5]).shape == (5, 2)


@pytest.mark.parametrize("bias", [-60.0, 0.0, 60.0])
def test_box_lies_within_the_image_whatever_the_weights_are(bias, images):
    network = build(["box"])
    for name in ("box_size", "box_place"):
        kernel, offset = network.get_layer(name).get_weights()
        network.get_layer(name).set_weights([40 * kernel, offset + bias])
    x, y, width, height = network.predict_on_batch(images.pixels[:20])["box"].T.astype(float)
    assert min(map(np.min, (x, y, width, height))) >= 0
    assert max(np.max(x + width), np.max(y + height)) <= 1 + 1e-6


def test_box_head_keeps_positions_and_the_class_head_may_do_without():
    shared, apart = build(), build(pooling="global_average")
    kinds = [[type(layer).__name__ for layer in network.layers] for network in (shared, apart)]
    assert (kinds[0].count("Flatten"), kinds[0].count("GlobalAveragePooling2D")) == (1, 0)
    assert (kinds[1].count("Flatten"), kinds[1].count("GlobalAveragePooling2D")) == (1, 1)


def test_recipe_r2b_is_vgg16_with_two_dense_layers_and_both_heads():
    recipe = {"backbone": "VGG16", "weights": "none", "dense_units": [64, 64], "dropout": 0.5, "image_size": 32}
    network = build(**recipe)
    kinds = [type(layer).__name__ for layer in network.layers]
    flat = kinds.index("Flatten")
    assert kinds[flat : flat + 5] == ["Flatten", "Dense", "Dropout", "Dense", "Dropout"]
    assert not network.get_layer("vgg16").trainable_weights
    assert network.predict_on_batch(np.zeros((1, *SHAPE), np.uint8))["box"].shape == (1, 4)


def test_bottleneck_narrows_the_backbones_feature_map_before_it_is_flattened():
    network = build(["box"], backbone="VGG16", weights="none", image_size=64, bottleneck=8)
    flat = next(layer for layer in network.layers if type(layer).__name__ == "Flatten")
    assert flat.output.shape == (None, 2 * 2 * 8)


# What it learns from


def test_batches_carry_the_boxes_of_their_images_where_asked_for(images):
    for batches in (
        training_batches(images, 7, 0, with_boxes=True).take(7),
        ordered_batches(images, "train", 7, with_boxes=True),
    ):
        by_pixels = {images.pixels[position].tobytes(): position for position in images.positions("train")}
        for pixels, labels, boxes in batches.as_numpy_iterator():
            positions = [by_pixels[image.tobytes()] for image in pixels]
            np.testing.assert_array_equal(boxes, images.boxes[positions])
            np.testing.assert_array_equal(labels, images.labels[positions])


def test_labels_are_smoothed_and_boxes_are_not(images):
    network = build()
    _, targets = next(iter(training_data(network, images, Train(label_smoothing=0.2), 0)))
    np.testing.assert_allclose(np.unique(targets["probabilities"]), [0.1, 0.9], atol=1e-6)
    _, targets = next(iter(validation_data(network, images)))
    assert set(targets["probabilities"].numpy().ravel().tolist()) == {0, 1}
    np.testing.assert_array_equal(targets["box"], images.boxes[images.positions("validation")])


@pytest.mark.parametrize("heads", [["class"], ["box"], ["class", "box"]])
def test_random_batch_has_the_shapes_of_the_training_data(heads, images):
    network = build(heads)
    pixels, targets = random_batch(network, np.array(images.pixels[:32]))
    expected_pixels, expected = next(iter(training_data(network, images, Train(), 0)))
    shapes = [
        {head: target.shape for head, target in part.items()} if isinstance(part, dict) else part.shape
        for part in (targets, expected)
    ]
    assert shapes[0] == shapes[1]
    assert pixels.shape == expected_pixels.shape


def test_images_without_a_box_are_counted_by_split(images):
    rows = images.rows.copy()
    rows.loc[[0, 1, 70], "box_x"] = np.nan
    without = ImageSet(rows, images.path)
    with pytest.raises(DataError, match=r"3 of 72 images have none \(2 of train, 1 of test\)"):
        training_data(build(), without, Train(), 0)
    training_data(build(["class"]), without, Train(), 0)


def test_history_has_the_loss_of_each_head_their_sum_accuracy_and_iou(trained):
    history = trained[1].history
    assert {f"{series}_{name}" for series in ("train", "val") for name in CURVES} <= set(history)
    for series in ("train", "val"):
        total = np.add(history[f"{series}_class_loss"], history[f"{series}_box_loss"])
        np.testing.assert_allclose(history[f"{series}_loss"], total, rtol=1e-4)


def test_weight_of_the_box_loss_counts_in_the_sum(images):
    network = build(box_weight=3.0)
    compile_model(network, Train())
    pixels, targets = next(iter(validation_data(network, images)))
    logs = named(network.test_on_batch(pixels, targets, return_dict=True))
    assert logs["train_loss"] == pytest.approx(logs["train_class_loss"] + 3 * logs["train_box_loss"], rel=1e-4)


def test_class_and_box_are_learned_together(trained, images):
    table = predict_split(trained[0], images, "train", NAMES)
    centre = np.tile([0.25, 0.25, 0.5, 0.5], (len(table), 1))
    guessed = mean_iou(predictions.true_boxes(table), centre).numpy().mean()
    assert predictions.correct(table).mean() > 0.9
    assert predictions.ious(table).mean() > guessed + 0.1


def test_kept_weights_are_measured_by_what_the_heads_give(trained, trained_boxes, images):
    both = measure_fit(trained[0], images, NAMES, trained[1])
    boxes = measure_fit(trained_boxes[0], images, ("red",), trained_boxes[1])
    assert both["chosen_val_mean_iou"] == pytest.approx(trained[1].history["val_mean_iou"][-1], abs=1e-4)
    assert both["chosen_val_loss"] == trained[1].history["val_loss"][-1]
    assert "chosen_val_accuracy" in both
    assert "chosen_val_accuracy" not in boxes
    assert diagnose_stage(trained_boxes[1]).sentence.count("IoU") == 1


def test_boxes_alone_are_predicted_without_probabilities(trained_boxes, images):
    table = predict_split(trained_boxes[0], images, "test", ("red",))
    assert predictions.class_names(table) == []
    np.testing.assert_array_equal(
        predictions.true_boxes(table), images.boxes[images.positions("test")].astype(np.float64)
    )
    assert set(trained_boxes[1].history) >= {"train_loss", "val_loss", "train_mean_iou", "val_mean_iou"}


# The loss


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0.1, 0.2, 0.4, 0.4), (0.1, 0.2, 0.4, 0.4), 0.0),
        # Overlap 0.1 of a union of 0.3, which the smallest box around both covers wholly.
        ((0.0, 0.0, 0.4, 0.5), (0.2, 0.0, 0.4, 0.5), 1 - 1 / 3),
        # Apart: the two of 0.04 each in a box of 1 × 0.2.
        ((0.0, 0.0, 0.2, 0.2), (0.8, 0.0, 0.2, 0.2), 1 + (0.2 - 0.08) / 0.2),
    ],
)
def test_generalised_iou_loss_of_cases_computed_by_hand(first, second, expected):
    loss = giou_loss(np.array([first], np.float32), np.array([second], np.float32))
    assert loss.numpy().tolist() == pytest.approx([expected], abs=1e-5)


# What it refuses


@pytest.mark.parametrize("family", ["class_and_box", "cnn_plain"])
def test_softmax_over_one_class_is_refused(family):
    one = Model(name="one", family=family, params={"filters": [4]})
    with pytest.raises(ConfigurationError, match=r"at least two classes .* received 1; .*params.heads=\[box\]"):
        build_model(one, SHAPE, 1)


@pytest.mark.parametrize(
    ("params", "train", "told"),
    [
        ({}, {"augmentation": {"horizontal_flip": True}}, r"augmentation: expected none .* move the object"),
        ({}, {"class_weights": "balanced"}, r"class_weights: expected none for a model with a box head"),
        ({"heads": ["box"]}, {"label_smoothing": 0.1}, r"label_smoothing: expected 0 for a model without a class"),
        ({}, {"stages": [{"trainable": "all", "epochs": 1, "learning_rate": 0.1}]}, r"stages: expected none"),
        ({"heads": ["box", "box"]}, {}, r"params\.heads: expected each head once"),
        ({"heads": []}, {}, r"params\.heads: expected"),
    ],
)
def test_settings_that_would_make_it_wrong_are_refused(params, train, told):
    with pytest.raises(ConfigurationError, match=rf"models\.boxes\..*{told}"):
        checked_params(section(params, **train))


@pytest.mark.parametrize(
    ("params", "train"),
    [
        ({}, {"augmentation": {"rotation": 0}}),
        ({"heads": ["class"]}, {"augmentation": {"rotation": 5}, "class_weights": "balanced"}),
        ({"backbone": "VGG16"}, {"stages": [{"trainable": "all", "epochs": 1, "learning_rate": 0.1}]}),
    ],
)
def test_settings_that_do_no_harm_are_taken(params, train):
    checked_params(section(params, **train))
