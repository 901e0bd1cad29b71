"""The weights of a linear machine as images: they are what decides."""

import numpy as np
import pytest

from pipeline_config.experiment import Model
from tasks.explain.svm_weights import is_grey, weight_images
from tasks.train.registry import build_model

SIZE = (6, 5)


def fitted(classes, *, grey=False, **params):
    generator = np.random.default_rng(classes)
    labels = np.repeat(np.arange(classes), 12)
    patterns = generator.integers(60, 200, (classes, *SIZE, 3))
    pixels = np.clip(patterns[labels] + generator.normal(0, 40, (len(labels), *SIZE, 3)), 0, 255).astype(np.uint8)
    pixels = np.repeat(pixels[..., :1], 3, axis=-1) if grey else pixels
    machine = build_model(Model(name="m", family="linear_svm", params=params), (*SIZE, 3), classes)
    return machine.fit(pixels, labels), pixels


def pair_decisions(pipeline, pixels):
    """`(n, pairs)`: sides of its planes, positive for the first class of a pair; of a single plane for the second."""
    machine = pipeline[-1].calibrated_classifiers_[0].estimator
    machine.set_params(decision_function_shape="ovo")
    return machine.decision_function(pipeline[:-1].transform(pixels)).reshape(len(pixels), -1)


def standardised(pipeline, pixels):
    return pipeline.named_steps["standardscaler"].transform(pixels.reshape(len(pixels), -1))


@pytest.mark.parametrize("params", [{}, {"components": 8}], ids=["pixels", "components"])
def test_two_classes_have_one_image_positive_for_the_second(params):
    pipeline, pixels = fitted(2, **params)
    weights = weight_images(pipeline, SIZE)
    assert weights.shape == (1, *SIZE, 3)
    scores = standardised(pipeline, pixels) @ weights[0].ravel()
    decisions = pair_decisions(pipeline, pixels)[:, 0]
    np.testing.assert_allclose(scores - scores[0], decisions - decisions[0], atol=1e-6)
    assert scores[12:].mean() > scores[:12].mean()


@pytest.mark.parametrize("params", [{}, {"components": 8}], ids=["pixels", "components"])
def test_more_classes_have_an_image_each_the_mean_of_their_planes_turned_towards_them(params):
    pipeline, pixels = fitted(3, **params)
    weights = weight_images(pipeline, SIZE)
    assert weights.shape == (3, *SIZE, 3)
    scores = standardised(pipeline, pixels) @ weights.reshape(3, -1).T
    against = pair_decisions(pipeline, pixels)  # 0 or 1, 0 or 2, 1 or 2
    expected = against @ np.array([[1, 1, 0], [-1, 0, 1], [0, -1, -1]]).T / 2
    np.testing.assert_allclose(scores - scores[0], expected - expected[0], atol=1e-6)
    assert (scores.argmax(axis=1) == np.repeat(np.arange(3), 12)).all()


def test_grey_images_have_equal_weights_of_the_three_colours():
    assert is_grey(weight_images(fitted(3, grey=True)[0], SIZE))
    assert not is_grey(weight_images(fitted(3)[0], SIZE))
