"""The network for few epochs: how it is built and begins, and what its first convolution makes of the images."""

import numpy as np
import pytest

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model, Train
from tasks.train.compiling import compile_model
from tasks.train.compute.network import for_training
from tasks.train.compute.policy import Policy
from tasks.train.families.airbench import adapt, whitening_weights
from tasks.train.optimizers import make_optimizer
from tasks.train.registry import build_model

SHAPE = (12, 16, 3)


def build(shape=SHAPE, seed=0, **params):
    section = Model(name="net", family="airbench", params=params, train=Train(seed=seed))
    return build_model(section, shape, 5)


def kinds_of(network):
    return [type(layer).__name__ for layer in network.layers]


@pytest.fixture(scope="module")
def pixels():
    """Smooth images of unlike colours, whose neighbouring pixels are nearly alike as those of photographs are."""
    random = np.random.default_rng(0)
    coarse = random.integers(30, 220, (60, 3, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    noise = random.integers(-20, 20, (60, *SHAPE))
    return (coarse * (0.5, 0.9, 1.0) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def adapted(pixels):
    network = build(filters=[32, 8])
    adapt(network, pixels)
    return network


def whitened(network, pixels):
    """What the first convolution makes of the images, one row a patch."""
    import keras

    outputs = keras.Model(network.input, network.get_layer("whitening").output).predict_on_batch(pixels)
    return outputs.reshape(-1, outputs.shape[-1]).astype(np.float64)


def test_first_convolution_makes_patches_uncorrelated_and_of_unit_variance(adapted, pixels):
    outputs = whitened(adapted, pixels)
    # The filters are for patches about the mean of the images, the paper's for those about nothing: both nearly alike.
    np.testing.assert_allclose(np.cov(outputs[:, :12].T), np.eye(12), atol=0.1)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=0.1)


def test_every_filter_has_its_negative(adapted, pixels):
    outputs = whitened(adapted, pixels)
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12], atol=1e-4)


def test_variance_is_enlarged_only_where_there_is_some(pixels):
    """A grey image's colours are equal, and one of a single colour has nothing to enlarge."""
    grey = pixels[..., :1].repeat(3, axis=-1)
    for images in (grey, np.full_like(pixels, 128)):
        kernel, bias = whitening_weights(images)
        assert np.isfinite(kernel).all()
        assert np.isfinite(bias).all()


def test_the_same_images_give_the_same_weights(pixels):
    for first, second in zip(whitening_weights(pixels), whitening_weights(pixels.copy()), strict=True):
        np.testing.assert_array_equal(first, second)


def test_adapting_changes_the_first_convolution_alone(pixels):
    network = build(filters=[4])
    before = network.get_weights()
    adapt(network, pixels)
    changed = [not np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True)]
    assert changed == [True, True] + [False] * (len(before) - 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_leaves_the_first_convolution_s_kernel_as_it_is_and_learns_its_bias(pixels, dtype):
    network = build(filters=[4])
    adapt(network, pixels)
    trained = for_training(network, Policy(dtype, fused_batch_normalization=True, jit=False, threads=1))
    kernel, bias = trained.get_layer("whitening").get_weights()
    trained.compile("sgd", "categorical_crossentropy", jit_compile=False)
    trained.train_on_batch(pixels, np.eye(5)[np.arange(len(pixels)) % 5])
    after = trained.get_layer("whitening").get_weights()
    np.testing.assert_array_equal(after[0], kernel)
    assert (after[1] != bias)[:4].all()  # the four that the next convolution begins with


def test_other_convolutions_begin_by_handing_on_their_input():
    """As many channels as there are filters for, or as there are channels."""
    import keras

    network = build(filters=[32, 8])
    convolutions = [layer for layer in network.layers if getattr(layer, "kernel_size", None) == (3, 3)]
    assert [layer.kernel.shape[2:] for layer in convolutions] == [(24, 32), (32, 32), (32, 8), (8, 8)]
    for layer in convolutions:
        inputs = np.random.default_rng(0).random((1, 5, 5, layer.kernel.shape[2]), np.float32)
        handed_on = min(layer.kernel.shape[2:])
        outputs = keras.ops.convert_to_numpy(layer(inputs))
        np.testing.assert_allclose(outputs[..., :handed_on], inputs[..., :handed_on], atol=1e-6)
        assert handed_on == layer.filters or np.ptp(outputs[..., handed_on:]) > 0.1


def test_a_stage_is_convolution_pooling_normalisation_activation_and_the_same_without_pooling():
    first = ["Conv2D", "MaxPooling2D", "BatchNormalization", "Activation"]
    second = ["Conv2D", "BatchNormalization", "Activation"]
    kinds = kinds_of(build(filters=[4, 8]))
    start = kinds.index("Conv2D") + 2
    assert kinds[start - 2 : start] == ["Conv2D", "Activation"]
    assert kinds[start:] == [*first, *second] * 2 + ["GlobalMaxPooling2D", "Rescaling", "Dense"]


def test_default_network_is_that_of_the_paper():
    """The whitening's bias, its convolutions, the offsets of its normalisations and its last layer, which has none."""
    network = build((32, 32, 3))
    trainable = sum(np.prod(weight.shape) for weight in network.trainable_weights)
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert trainable == 24 + convolutions + 2 * (64 + 256 + 256) + 256 * 5


@pytest.mark.parametrize("shape", [(9, 33, 3), (10, 9, 3), (64, 48, 3)])
def test_network_takes_any_size_that_can_be_halved_once_a_stage(shape):
    network = build(shape, filters=[4, 4, 4])
    assert network.predict_on_batch(np.zeros((2, *shape), np.uint8)).shape == (2, 5)


def test_more_stages_than_the_image_can_be_halved_are_refused():
    with pytest.raises(ConfigurationError, match=r"params\.filters: 3 stages .* needs 9 pixels a side; received 8"):
        build((8, 16, 3), filters=[4, 4, 4])


def test_seed_decides_the_first_weights():
    first, again, other = (build(filters=[32], seed=seed).get_weights()[2] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_filters_keep_their_length_in_training(pixels):
    network = build(filters=[32, 8])
    compile_model(network, Train(optimizer="muon", learning_rate=0.5, kernel_rate=0.5))
    before = network.get_weights()
    network.fit(pixels[:20], np.eye(5, dtype=np.float32)[np.arange(20) % 5], epochs=3, verbose=0)
    trained = [(old, new) for old, new in zip(before, network.get_weights(), strict=True) if old.shape[:2] == (3, 3)]
    assert len(trained) == 4
    for old, new in trained:
        assert np.abs(new - old).max() > 0.01
        np.testing.assert_allclose((new**2).sum(axis=(0, 1, 2)), 1, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize(("decay", "expected"), [(0.02, 4 * (1 - 0.02 * 0.5)), (0.0, 4)])
def test_weight_decay_takes_its_share_times_the_rate_of_a_weight_without_gradient(optimizer, decay, expected):
    import keras

    weight = keras.Variable([4.0])
    made = make_optimizer(Train(optimizer=optimizer, learning_rate=0.5, weight_decay=decay))
    made.apply([keras.ops.zeros(1)], [weight])
    assert float(weight[0]) == pytest.approx(expected, rel=1e-6)


def test_offsets_and_biases_alone_learn_at_the_bias_rate():
    import keras

    def moved(**settings):
        pixels = keras.Input((4, 4, 2))
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 1, kernel_initializer="ones")(pixels))
        network = keras.Model(pixels, keras.layers.Dense(2, kernel_initializer="ones")(keras.layers.Flatten()(x)))
        network.compile(
            make_optimizer(Train(optimizer="sgd", learning_rate=0.001, **settings)), "mse", jit_compile=False
        )
        before = network.get_weights()
        images = np.random.default_rng(0).normal(size=(8, 4, 4, 2)).astype(np.float32)
        network.train_on_batch(images, images[:, 0, 0] + 1)
        paths = [variable.path.rpartition("/")[2] for variable in network.weights]
        return paths, [after - old for after, old in zip(network.get_weights(), before, strict=True)]

    paths, plain = moved()
    _, hurried = moved(bias_rate=64)
    for path, one, other in zip(paths, plain, hurried, strict=True):
        np.testing.assert_allclose(other, one * (64 if path in ("beta", "bias") else 1), atol=1e-6)
    assert {"beta", "bias", "gamma", "kernel"} <= set(paths)
