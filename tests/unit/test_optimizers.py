"""Adam by one kernel is Keras's Adam: its steps, its variables, and what is saved of it."""

import zipfile

import numpy as np
import pytest

from pipeline_config.experiment import Train
from tasks.train.compiling import compile_model
from tasks.train.optimizers import make_optimizer

STEPS = 12
SHAPES = [(3, 4), (4,), (1,)]
PIXELS = np.random.default_rng(0).normal(size=(12, 6, 6, 3)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[np.arange(12) % 3]


def gradients():
    """Of each step and variable; from far below epsilon, where it decides the step, to far above, and none at all."""
    random = np.random.default_rng(1)
    scales = [1e-9, 1e-7, 1e-4, 0.0, 1.0, 1e3]
    return [
        [(scales[step % 6] * random.normal(size=shape)).astype(np.float32) for shape in SHAPES] for step in range(STEPS)
    ]


def after_steps(optimizer, compiled):
    """The optimizer's variables, and the weights, after some steps; the learning rate is another in every step."""
    import keras
    import tensorflow as tf

    weights = [keras.Variable(np.random.default_rng(2).normal(size=shape).astype(np.float32)) for shape in SHAPES]
    optimizer.build(weights)
    step = tf.function(lambda each: optimizer.apply(each, weights), autograph=False) if compiled else optimizer.apply
    for number, each in enumerate(gradients()):
        optimizer.learning_rate = 0.1 / (1 + number)
        step([tf.constant(gradient) for gradient in each])
    return optimizer.variables, weights


@pytest.mark.parametrize("compiled", [True, False], ids=["in a graph", "eagerly"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_of_the_kernel_are_those_of_keras(decay, compiled):
    import keras

    fused = after_steps(make_optimizer(Train(weight_decay=decay)), compiled)
    expected = after_steps(keras.optimizers.Adam(weight_decay=decay or None), compiled)
    for received, values in zip(fused[0], expected[0], strict=True):
        np.testing.assert_allclose(received, values, rtol=2e-5, atol=1e-20, err_msg=values.path)
    for received, values in zip(fused[1], expected[1], strict=True):
        np.testing.assert_allclose(received, values, atol=3e-6)


@pytest.mark.parametrize(("jit", "is_used"), [(False, True), (True, False)])
def test_the_kernel_is_used_unless_xla_compiles_the_step(jit, is_used):
    import keras
    import tensorflow as tf

    weight, optimizer = keras.Variable([1.0]), make_optimizer(Train(), jit=jit)
    optimizer.build([weight])
    step = tf.function(lambda: optimizer.apply([tf.constant([1.0])], [weight]), autograph=False)
    operations = {operation.type for operation in step.get_concrete_function().graph.get_operations()}
    assert ("ResourceApplyAdam" in operations) is is_used


def test_adam_s_offsets_learn_at_the_bias_rate_too():
    import keras

    offset, other = keras.Variable([1.0], name="beta"), keras.Variable([1.0], name="gamma")
    make_optimizer(Train(learning_rate=0.001, bias_rate=64)).apply([keras.ops.ones(1)] * 2, [offset, other])
    assert (float(offset[0]), float(other[0])) == (pytest.approx(1 - 0.064), pytest.approx(1 - 0.001))


def network_of(dtype="float32"):
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    pixels = keras.Input((6, 6, 3))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", dtype=dtype)(pixels))
    return keras.Model(pixels, layers.Dense(3, activation="softmax", dtype="float32")(x))


def losses(network, steps=4):
    return [float(network.train_on_batch(PIXELS, TARGETS)[0]) for _ in range(steps)]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_network_learns_as_by_keras_s_adam(dtype):
    import keras

    fused, plain = network_of(dtype), network_of(dtype)
    compile_model(fused, Train(learning_rate=0.01))
    plain.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    expected = losses(plain)
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(losses(fused), expected, rtol=1e-3 if "16" in dtype else 1e-5)
    assert {str(variable.dtype) for variable in [*fused.weights, *fused.optimizer.variables[2:]]} == {"float32"}


def test_what_is_saved_is_keras_s_and_goes_on_with_the_same_moments(tmp_path):
    import keras

    network = network_of()
    compile_model(network, Train(learning_rate=0.01, weight_decay=0.1))
    losses(network)
    network.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"tasks" not in archive.read("config.json")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.optimizer) is keras.optimizers.Adam
    assert "update_step" not in vars(loaded.optimizer)
    loaded.jit_compile = False
    np.testing.assert_allclose(losses(loaded), losses(network), rtol=1e-5)
