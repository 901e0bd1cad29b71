"""The slow average of weights, against one worked out by hand, and a training that has one."""

import numpy as np
import pytest

from tasks.train.lookahead import Lookahead


@pytest.fixture
def network():
    import keras

    pixels = keras.Input((2,))
    network = keras.Model(pixels, keras.layers.BatchNormalization()(keras.layers.Dense(1)(pixels)))
    network.set_weights([np.zeros(weight.shape, np.float32) for weight in network.weights])
    return network


def step_to(network, value):
    network.set_weights([np.full(weight.shape, value, np.float32) for weight in network.weights])


def values(network):
    (value,) = {float(number) for weight in network.get_weights() for number in np.unique(weight)}
    return value


def test_weights_and_averages_of_batches_return_every_five_steps(network):
    average = Lookahead(network)
    for batch in range(4):
        step_to(network, batch + 1.0)
        average.after_step(1.0, ends_epoch=False)
        assert values(network) == batch + 1
    step_to(network, 5.0)
    average.after_step(1.0, ends_epoch=False)
    assert values(network) == pytest.approx(5 * (1 - 0.95**5))
    first = values(network)
    for _ in range(5):
        step_to(network, 1.0)
        average.after_step(1.0, ends_epoch=False)
    assert values(network) == pytest.approx(0.95**5 * first + (1 - 0.95**5))


def test_at_the_beginning_of_a_training_nothing_returns(network):
    average = Lookahead(network)
    step_to(network, 3.0)
    for batch in range(5):
        average.after_step(0.0, ends_epoch=batch == 4)
    assert values(network) == 3


def test_an_epoch_ends_with_the_average(network):
    average = Lookahead(network)
    for batch in range(2):
        step_to(network, 1.0)
        average.after_step(1.0, ends_epoch=batch == 1)
    assert values(network) == pytest.approx(1 - 0.95**2)
