"""Mistakes of earlier works, tried: pixels scaled twice, a softmax over one class, test images that choose a model."""

import numpy as np
import pytest
from PIL import Image

from pipeline_config.errors import ConfigurationError, DataError
from pipeline_config.experiment import Model, Split, Validation
from pipeline_config.loading import load_experiment
from tasks.split.assign import assign_splits
from tasks.train.freezing import find_backbone
from tasks.train.registry import build_model, checked_params, family_names
from tasks.validate.checking import check_listing

SHAPE = (32, 32, 3)


def smallest(family):
    module, _ = checked_params(Model(name="m", family=family))
    return Model(name="m", family=family, params=module.SMALLEST)


# Pixels scaled twice


@pytest.mark.parametrize("family", family_names())
@pytest.mark.parametrize("key", ["rescale", "rescaling", "scale", "preprocessing"])
def test_no_family_takes_a_scaling_beside_its_own(family, key):
    model = Model(name="m", family=family, params={key: 1 / 255})
    with pytest.raises(ConfigurationError, match=rf"models\.m\.params\.{key}: "):
        checked_params(model)


@pytest.mark.parametrize("key", ["dataset.rescale", "train.rescale", "train.augmentation.rescale", "rescale"])
def test_no_other_section_scales_pixels(key):
    from flows.start import load_checked

    with pytest.raises(ConfigurationError, match="rescale"):
        load_checked("digits", [f"{key}=0.00392"])


@pytest.mark.parametrize("family", sorted({*family_names()} - {"linear_svm", "transfer"}))
def test_own_networks_scale_once(family):
    import keras

    network = build_model(smallest(family), SHAPE, 2)
    of_images = [layer for layer in network.layers if layer.output.shape[1:] == SHAPE]
    scales = [layer.scale for layer in of_images if isinstance(layer, keras.layers.Rescaling)]
    assert scales == [pytest.approx(1 / 255)]


def test_backbone_that_scales_its_own_input_gets_the_pixels_as_they_are():
    """EfficientNet on pixels of 0..1 was one of the two reasons for an accuracy of 0.27."""
    import keras

    params = {"backbone": "EfficientNetB0", "weights": None}
    network = build_model(Model(name="m", family="transfer", params=params), SHAPE, 2)
    backbone_input = find_backbone(network)._inbound_nodes[-1].arguments.args[0]
    seen = keras.Model(network.input, backbone_input).predict_on_batch(np.full((1, *SHAPE), 255, np.uint8))
    np.testing.assert_allclose(seen, 255)


# A softmax over one class


@pytest.mark.parametrize("family", family_names())
def test_one_class_is_refused_by_every_family(family):
    with pytest.raises(ConfigurationError, match=r"^models\.m: expected at least two classes .*; received 1; "):
        build_model(smallest(family), SHAPE, 1)


@pytest.mark.parametrize("key", ["num_outputs", "num_classes", "classes"])
def test_number_of_outputs_is_never_a_setting(key):
    with pytest.raises(ConfigurationError, match=key):
        checked_params(Model(name="m", family="cnn_plain", params={key: 1}))


# Test images that choose the model


@pytest.fixture
def copied(tmp_path, list_with):
    """A folder data set whose validation images are copies of its test images."""
    random = np.random.default_rng(0)
    for split, seed in (("Train", 0), ("Test", 1), ("Validation", 1)):
        random = np.random.default_rng(seed)
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = random.integers(0, 256, (*SHAPE[:2], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return list_with(source="folder", path=str(tmp_path / "data"))[0]


GIVEN = Split(validation="given", test="given")


def test_validation_images_that_are_the_test_images_fail_the_checks(copied, tmp_path):
    checked = check_listing(copied, Validation(), None, tmp_path / "cache")
    failed = {result.name for result in checked.results if not result.passed}
    assert "leakage" in failed
    with pytest.raises(ConfigurationError, match=r"^split\.validation: the data set gives no validation split"):
        assign_splits(checked.table, GIVEN)  # each copy but the one in the test split is quarantined


def test_switching_the_checks_off_does_not_help(copied, tmp_path):
    bounds = Validation(duplicates="off", leakage="off", near_duplicates="off", test_precision="off")
    checked = check_listing(copied, bounds, None, tmp_path / "cache")
    with pytest.raises(DataError, match=r"^split: expected every picture in one of the given splits; 24 are in two"):
        assign_splits(checked.table, GIVEN)


@pytest.mark.parametrize("name", ["val_test", "test_accuracy", "test_loss"])
def test_no_test_metric_can_choose(name):
    with pytest.raises(ConfigurationError, match=r"promotion\.metric"):
        load_experiment("digits", [f"promotion.metric={name}"])


def test_same_part_cannot_be_asked_for_twice():
    with pytest.raises(ConfigurationError, match=r"split\.validation"):
        load_experiment("digits", ["split.validation=test"])
