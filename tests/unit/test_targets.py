"""What the losses of a training and of its validation compare the outputs with."""

import numpy as np
import pandas as pd
import pytest

from pipeline_config.experiment import Model, Train
from tasks import predictions
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.train.fit import fit_model
from tasks.train.registry import build_model
from tasks.train.targets import training_data, validation_data

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Eight images to train and four to validate with, of four classes."""
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, np.random.default_rng(1).integers(0, 256, (12, *SHAPE), dtype=np.uint8))
    rows = pd.DataFrame({"label": np.tile(np.arange(4), 3), "split": ["train"] * 8 + ["validation"] * 4})
    return ImageSet(rows.assign(image_id=[f"{number:02}" for number in range(12)]), path)


@pytest.fixture(scope="module")
def model():
    return Model(name="m", family="cnn_plain", params={"filters": [4], "convolutions": 1, "dense_units": [8]})


def test_smoothing_takes_its_share_from_the_label_and_spreads_it_over_all_classes(images, model):
    network, train = build_model(model, SHAPE, 4), Train(batch_size=8, label_smoothing=0.2)
    (pixels, targets), *_ = training_data(network, images, train, 0).take(1).as_numpy_iterator()
    labels = targets.argmax(axis=1)
    np.testing.assert_allclose(targets, 0.05 + 0.8 * np.eye(4)[labels], atol=1e-6)
    in_order = np.array([np.flatnonzero((images.pixels == image).all((1, 2, 3)))[0] for image in pixels])
    assert labels.tolist() == images.labels[in_order].tolist()


def test_labels_of_validation_images_are_never_smoothed(images, model):
    (_, targets), *_ = validation_data(build_model(model, SHAPE, 4), images).as_numpy_iterator()
    np.testing.assert_array_equal(targets, np.eye(4)[images.labels[images.positions("validation")]])


def test_validation_loss_of_a_smoothed_training_is_that_of_the_plain_labels(images, model):
    train = Train(epochs=2, batch_size=8, label_smoothing=0.3)
    network = build_model(model, SHAPE, 4)
    fit = fit_model(network, images, train, "m")
    plain = predictions.log_loss(predict_split(network, images, "validation", tuple("abcd")))
    assert fit.history["val_loss"][-1] == pytest.approx(plain, abs=1e-4)


def test_smoothing_is_in_the_training_loss(images, model):
    """Of one step over all images, the loss is that of the first weights."""
    before = predict_split(build_model(model, SHAPE, 4), images, "train", tuple("abcd"))
    lost = -np.log(predictions.probabilities(before))
    plain = lost[np.arange(8), before["label"]].mean()
    for smoothing in (0.0, 0.3):
        train = Train(epochs=1, batch_size=8, label_smoothing=smoothing)
        fit = fit_model(build_model(model, SHAPE, 4), images, train, "m")
        expected = (1 - smoothing) * plain + smoothing * lost.mean()
        assert fit.history["train_loss"] == pytest.approx([expected], rel=1e-4)
