"""Steps of convolution kernels that are made orthogonal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_config.experiment import Train
from tasks.train.muon import orthogonalised
from tasks.train.optimizers import make_optimizer


def step(gradient, times=1, **train):
    """What so many steps with the same gradient change of zeros."""
    import keras

    optimizer = make_optimizer(Train(optimizer="muon", learning_rate=0.1, **train))
    variable = keras.Variable(np.zeros(np.shape(gradient), np.float32))
    for _ in range(times):
        optimizer.apply_gradients([(np.asarray(gradient, np.float32), variable)])
    return np.asarray(variable)


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.integers(0, 99), st.sampled_from([1e-3, 1.0, 1e4]))
def test_singular_values_come_near_to_one_whatever_the_scale(shape, seed, scale):
    matrix = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    values = np.linalg.svd(matrix, compute_uv=False)
    if values[-1] < 0.1 * np.linalg.norm(matrix):
        return  # five iterations more would be needed for directions so small
    found = np.linalg.svd(np.asarray(orthogonalised(scale * matrix, "float32")), compute_uv=False)
    assert (found > 0.6).all()
    assert (found < 1.3).all()


def test_the_step_of_a_kernel_is_orthogonal_and_has_its_own_rate():
    gradient = np.random.default_rng(0).normal(size=(3, 3, 4, 8))
    changed = step(gradient, kernel_rate=2).reshape(-1, 8)
    values = np.linalg.svd(changed / 0.2, compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3
    assert (changed * gradient.reshape(-1, 8)).sum() < 0
    np.testing.assert_allclose(step(1e3 * gradient, kernel_rate=2).reshape(-1, 8), changed, atol=2e-3)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 3, 6, 1)])
def test_what_is_no_kernel_of_filters_has_plain_steps_with_nesterov_s_momentum(shape):
    gradient = np.random.default_rng(0).normal(size=shape)
    first = 0.1 * (1 + 0.85)
    second = 0.1 * (1 + 0.85 * (1 + 0.85))
    np.testing.assert_allclose(step(gradient, kernel_rate=7), -first * gradient, rtol=1e-5)
    np.testing.assert_allclose(step(gradient, 2, kernel_rate=7), -(first + second) * gradient, rtol=1e-5)


def test_a_rate_of_kernels_is_for_muon_alone():
    with pytest.raises(ValidationError, match="kernel_rate is for optimizer: muon; received optimizer: adam"):
        Train(kernel_rate=2)
