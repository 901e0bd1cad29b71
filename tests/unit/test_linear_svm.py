"""The linear support vector machine: fitted on a Gram matrix, with and without principal components, and its cost."""

import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model, Train
from tasks import tracking
from tasks.train.families import linear_svm
from tasks.train.machine_cost import Speed, estimate
from tasks.train.registry import build_model, checked_params, cost_warning, count_parameters

SHAPE = (8, 6, 3)
PIXELS = math.prod(SHAPE)
GIGABYTE = 10**9


def section(seed=0, **params):
    return Model(name="svm", family="linear_svm", params=params, train=Train(seed=seed))


def draw_images(count, classes, seed=0):
    """Noise, a little brighter in a channel or a half for each class."""
    labels = np.arange(count) % classes
    pixels = np.random.default_rng(seed).integers(0, 200, (count, *SHAPE), dtype=np.uint8)
    for number, label in enumerate(labels):
        half = slice(None) if label < 3 else slice(4)
        pixels[number, half, :, label % 3] += 40
    return pixels, labels


def fitted(classes=2, images=60, seed=0, **params):
    model = build_model(section(seed, **params), SHAPE, classes)
    return model.fit(*draw_images(images, classes))


def fitted_to_chance(images=60):
    """Labels that have nothing to do with the images, which no plane of five components parts."""
    pixels, labels = draw_images(images, 2)
    return build_model(section(components=5), SHAPE, 2).fit(pixels, np.random.default_rng(0).permutation(labels))


def machine_of(pipeline):
    return pipeline[-1].calibrated_classifiers_[0].estimator


# The fit


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("components", [None, 7])
def test_machine_is_the_one_that_scikit_learn_fits_without_a_gram_matrix(classes, components):
    from sklearn.base import clone

    model = build_model(section(components=components), SHAPE, classes)
    usual = clone(model)
    assert "fit" not in vars(usual)
    training, other = draw_images(60, classes), draw_images(40, classes, seed=1)[0]
    model.fit(*training)
    usual.fit(*training)
    np.testing.assert_allclose(machine_of(model).coef_, machine_of(usual).coef_, atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(other), usual.predict_proba(other), atol=1e-6)
    np.testing.assert_array_equal(model.predict(other), usual.predict(other))


def test_saved_model_does_not_grow_with_the_images_it_was_trained_on(tmp_path):
    import skops.io

    sizes = []
    for images in (60, 240):
        path = tmp_path / f"{images}.skops"
        skops.io.dump(fitted(images=images), path)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 1.05 * sizes[0]


# Principal components


def test_machine_sees_no_more_than_the_components():
    model = fitted(components=5)
    assert machine_of(model).coef_.shape == (1, 5)
    assert model.predict_proba(draw_images(9, 2)[0]).shape == (9, 2)
    assert model.score(*draw_images(100, 2, seed=1)) > 0.9


def test_weights_of_the_components_are_counted_with_those_of_the_machine():
    assert count_parameters(fitted(classes=3, components=5)) == 5 * PIXELS + 3 * (5 + 1)
    assert count_parameters(fitted(classes=3)) == 3 * (PIXELS + 1)


def test_bytes_and_floats_of_the_same_pixels_have_the_same_probabilities():
    model, pixels = fitted_to_chance(), draw_images(30, 2, seed=1)[0]
    probabilities = model.predict_proba(pixels)
    assert 0.1 < probabilities.min() < 0.49
    np.testing.assert_allclose(model.predict_proba(pixels.astype(np.float32)), probabilities, rtol=1e-5)


def test_seed_of_the_training_decides_the_components():
    first, again, other = (fitted(components=5, seed=seed)[2].components_ for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-9


def test_images_that_no_plane_parts_are_fitted_in_few_steps():
    """With C = 1 on components of this length it takes the solver 25 times as many."""
    assert machine_of(fitted_to_chance(images=300)).n_iter_.sum() < 3 * 300


LOAD_AND_PREDICT = """
import sys
from pathlib import Path

import numpy as np

from tasks import tracking

folder = Path(sys.argv[1])
model = tracking.load_model(folder)
assert not [name for name in sys.modules if name.startswith("tasks.train")]
np.save(folder / "answer.npy", model.predict_proba(np.load(folder / "pixels.npy")))
"""


def test_saved_components_load_in_a_fresh_process_without_code_of_the_family(tmp_path, repository):
    import skops.io

    model, (pixels, _) = fitted(classes=3, components=5), draw_images(10, 3, seed=1)
    skops.io.dump(model, tmp_path / "model.skops")
    np.save(tmp_path / "pixels.npy", pixels)
    command = [sys.executable, "-c", LOAD_AND_PREDICT, str(tmp_path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), model.predict_proba(pixels), rtol=1e-12)


def test_other_types_than_the_trusted_ones_are_still_refused(tmp_path):
    import skops.io

    skops.io.dump(np.random.default_rng, tmp_path / "model.skops")
    with pytest.raises(Exception, match="not trusted"):
        tracking.load_model(tmp_path)


@pytest.mark.parametrize("components", [0, -1, 2.5])
def test_components_are_a_number_of_them(components):
    with pytest.raises(ConfigurationError, match=r"models\.svm\.params\.components: expected"):
        checked_params(section(components=components))


def test_more_components_than_pixels_are_refused_when_the_model_is_built():
    build_model(section(components=PIXELS), SHAPE, 2)
    with pytest.raises(ConfigurationError, match=r"params\.components: expected at most 144, .*; received 145; give"):
        build_model(section(components=PIXELS + 1), SHAPE, 2)


def test_more_components_than_images_are_refused_before_and_by_the_fit():
    model = build_model(section(components=61), SHAPE, 2)
    sentence = r"params\.components: expected at most 60, the number of images to train with; received 61; give fewer"
    with pytest.raises(ConfigurationError, match=sentence):
        model.fit(*draw_images(60, 2))
    with pytest.raises(ConfigurationError, match=sentence):
        cost_warning(section(components=61), 60, SHAPE, 2)


# What it will cost


@pytest.fixture
def machine(monkeypatch):
    """`machine(gigabytes)`: a machine of a known speed with so much memory to spare."""

    def set_up(gigabytes):
        monkeypatch.setattr(linear_svm, "measure_speed", lambda: Speed(scaling=1e-8, product=1e-10))
        memory = SimpleNamespace(available=gigabytes * GIGABYTE)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    return set_up


def test_small_data_need_no_warning():
    """On the machine of the test, its speed measured."""
    assert cost_warning(section(), 60, SHAPE, 2) is None


def test_families_that_do_not_tell_their_cost_have_no_warning():
    assert cost_warning(Model(name="cnn", family="cnn_plain"), 10**9, (512, 512, 3), 2) is None


def test_too_much_memory_is_told_with_what_lowers_it(machine):
    machine(gigabytes=10)
    sentence = cost_warning(section(), 8_000, (128, 128, 3), 2)
    assert sentence.startswith("models.svm: fitting to 8,000 images of 49,152 values takes an estimated 3 minutes and ")
    assert " 8.9 GB of memory, of which 10.0 GB are available; " in sentence
    assert sentence.endswith("it takes less with dataset.image_size=64 or fewer dataset.images_per_class")
    machine(gigabytes=18)
    assert cost_warning(section(), 8_000, (128, 128, 3), 2) is None


def test_too_long_a_time_is_told_with_what_lowers_it(machine):
    machine(gigabytes=10_000)
    sentence = cost_warning(section(), 60_000, (64, 64, 3), 2)
    assert " 43 minutes " in sentence
    assert sentence.endswith("dataset.image_size=32 or fewer dataset.images_per_class or params.components=100")


def test_what_would_not_help_is_not_named(machine):
    """The images are so many that their pairs take the memory, whatever the pixels."""
    machine(gigabytes=10)
    sentence = cost_warning(section(), 50_000, (8, 8, 3), 2)
    assert sentence.endswith("it takes less with fewer dataset.images_per_class")


def test_few_components_already_are_not_named_as_a_mend(machine):
    machine(gigabytes=10_000)
    assert "components" not in cost_warning(section(components=50), 200_000, (64, 64, 3), 2)


@given(
    images=st.integers(100, 100_000),
    pixels=st.integers(100, 100_000),
    components=st.none() | st.integers(1, 100),
    classes=st.integers(2, 100),
)
def test_more_images_pixels_or_classes_never_cost_less(images, pixels, components, classes):
    speed = Speed(scaling=1e-8, product=1e-10)
    cost = estimate(images, pixels, components, classes, speed)
    more = [
        estimate(images + 1, pixels, components, classes, speed),
        estimate(images, pixels + 1, components, classes, speed),
        estimate(images, pixels, components, classes + 1, speed),
    ]
    assert all(other.seconds >= cost.seconds and other.bytes >= cost.bytes for other in more)
    assert cost.bytes > images * pixels


def test_warning_is_said_and_stays_with_the_run(monkeypatch):
    from tasks.train import training

    said, tags = [], {}
    monkeypatch.setattr(training, "cost_warning", lambda *arguments: f"{arguments[1:]} cost much")
    monkeypatch.setattr(training, "say", said.append)
    monkeypatch.setattr(tracking, "set_tags", lambda run_id, new: tags.update({run_id: new}))
    images = SimpleNamespace(positions=lambda split: {"train": np.arange(5)}[split])
    training._warn_of_cost("1", section(), images, SimpleNamespace(image_size=(8, 6), class_names=("a", "b")))
    assert said == ["Warning: (5, (8, 6, 3), 2) cost much"]
    assert tags == {"1": {"darkroom.warning": "(5, (8, 6, 3), 2) cost much"}}
