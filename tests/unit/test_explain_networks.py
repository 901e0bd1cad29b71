"""What a network looks at: its layers in one row, their activations, what excites their filters, Grad-CAM."""

import numpy as np
import pytest

from tasks.explain.activations import activations
from tasks.explain.filters import STEPS, exciting_images
from tasks.grad_cam import grad_cam
from tasks.network import spread, unfold

SIDE = 16
RED, BLUE = (255, 0, 0), (0, 0, 255)
# Of a 1×1 convolution: red light, blue light, and nothing at all. Grey excites none, so that their ReLUs are silent.
KERNEL = np.array([[1, -0.5, 0], [-0.5, -0.5, 0], [-0.5, 1, 0]], np.float32).reshape(1, 1, 3, 3)
BIAS = np.array([-0.1, -0.1, 0], np.float32)
# Red speaks for class 0, blue for class 1, so much that the softmax is exactly 1.
HEAD = 1e4 * np.array([[1, -1], [-1, 1], [0, 0]], np.float32)


def features(x):
    from keras import layers

    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(3, 1, activation="relu", name="colours")(x)
    return layers.BatchNormalization(name="normal", epsilon=0)(layers.MaxPooling2D()(x))


def build(*, nested):
    """Resized pixels -> colours -> the class whose colour there is more of."""
    import keras

    pixels = keras.Input((None, None, 3), name="pixels")
    x = keras.ops.image.resize(pixels, (SIDE, SIDE), interpolation="bilinear", antialias=True)
    if nested:
        images = keras.Input((None, None, 3), name="images")
        x = keras.Model(images, features(images), name="backbone")(x, training=False)
    else:
        x = features(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="probabilities")(x))
    model.set_weights([KERNEL, BIAS, *np.outer([1, 0, 0, 1], np.ones(3)), HEAD, np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def flat():
    return build(nested=False)


@pytest.fixture(scope="module")
def nested():
    return build(nested=True)


@pytest.fixture(scope="module")
def image():
    """`(1, 16, 16, 3)`: a larger red patch at the top left, a smaller blue one at the bottom right."""
    pixels = np.full((1, SIDE, SIDE, 3), 128, np.uint8)
    pixels[0, 2:8, 2:8] = RED
    pixels[0, 10:14, 10:14] = BLUE
    return pixels


def share_in(evidence, rows, columns):
    return evidence[rows, columns].sum() / evidence.sum()


# The calls


@pytest.mark.parametrize("kind", ["flat", "nested"])
def test_the_calls_lead_to_the_models_own_answer_and_leave_it_as_it_was(kind, request, image):
    model = request.getfixturevalue(kind)
    before = model.predict_on_batch(image)
    network = unfold(model)
    np.testing.assert_array_equal(network.model(network.head.output).predict_on_batch(image), before)
    np.testing.assert_array_equal(model.predict_on_batch(image), before)


def test_the_layers_of_a_nested_backbone_stand_in_its_place_with_their_sizes(flat, nested):
    names = [call.layer.name for call in unfold(nested).calls if call.layer.name in {"colours", "normal"}]
    assert names == ["colours", "normal"]
    for model in (flat, nested):
        network = unfold(model)
        assert [call.size for call in network.convolutions] == ["16×16×3"]
        assert network.image_size == (SIDE, SIDE)


def test_some_layers_are_spread_over_the_depth_with_the_first_and_the_last():
    assert spread(range(53), 4) == [0, 17, 35, 52]
    assert spread("ab", 4) == ["a", "b"]
    assert spread("abc", 1) == ["a"]


# Activations


def test_activations_are_the_layers_answers_the_most_active_channel_first(nested, image):
    network = unfold(nested)
    ((answer,),) = activations(network, network.convolutions, image)
    assert (answer.layer, answer.size, answer.channels) == ("colours", "16×16×3", (0, 1, 2))
    expected = np.maximum(image[0] / 255 @ KERNEL[0, 0] + BIAS, 0)
    np.testing.assert_allclose(answer.maps, expected, atol=1e-6)
    ((swapped,),) = activations(network, network.convolutions, image[..., ::-1])
    assert swapped.channels == (1, 0, 2)
    np.testing.assert_allclose(swapped.maps, expected, atol=1e-6)


# Gradient ascent


@pytest.fixture(scope="module")
def excited(nested):
    network = unfold(nested)
    return exciting_images(network, network.convolutions[0], [0, 1, 2], most_seconds=60, steps=STEPS)


def test_ascent_excites_filters_that_are_silent_on_grey(excited):
    assert (excited.before[:2] < 0).all()
    assert (excited.after[:2] > 0.05).all()
    assert excited.steps == STEPS


def test_images_show_what_their_filter_answers_to(excited):
    assert (excited.images.shape, excited.images.dtype) == ((3, SIDE, SIDE, 3), np.uint8)
    red, blue = (image.mean(axis=(0, 1)) for image in excited.images[:2])
    assert red[0] > red[1:].max() + 25
    assert blue[2] > blue[:2].max() + 25


def test_a_filter_without_weights_leaves_the_image_grey(excited):
    assert excited.images[2].std() < 1.5


def test_ascent_ends_when_its_time_is_up(nested):
    network = unfold(nested)
    assert exciting_images(network, network.convolutions[0], [0], most_seconds=0, steps=50).steps == 2


# Grad-CAM


def test_the_map_lies_where_the_class_is_decided(flat, image):
    (red,) = grad_cam(unfold(flat), image, [0])
    (blue,) = grad_cam(unfold(flat), image, [1])
    assert red.shape == (SIDE, SIDE)  # of the convolution, before the pooling
    assert share_in(red, slice(8), slice(8)) > 0.99
    assert share_in(blue, slice(8, None), slice(8, None)) > 0.99
    assert (red.min(), red.max()) == (0, 1)


def test_a_prediction_of_exactly_one_has_a_map_all_the_same(flat, image):
    assert flat.predict_on_batch(image)[0, 0] == 1
    assert grad_cam(unfold(flat), image, [0]).any()


def test_a_nested_backbone_has_the_map_of_the_flat_network(flat, nested, image):
    pixels, labels = np.concatenate([image, image[:, ::-1]]), [0, 1]
    np.testing.assert_allclose(
        grad_cam(unfold(nested), pixels, labels), grad_cam(unfold(flat), pixels, labels), atol=1e-6
    )


def test_where_nothing_speaks_for_a_class_its_map_is_empty(flat):
    grey = np.full((1, SIDE, SIDE, 3), 128, np.uint8)
    np.testing.assert_array_equal(grad_cam(unfold(flat), grey, [1]), np.zeros((1, SIDE, SIDE)))
