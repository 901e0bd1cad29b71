"""How networks are computed in their training: the copy, the kernels, the choice."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline_config.experiment import Compute, Model, Train
from tasks.train.compute.choice import choose_policy
from tasks.train.compute.network import for_training, take_weights
from tasks.train.compute.policy import Policy
from tasks.train.compute.processor import this_processor
from tasks.train.compute.work import operations_per_image, training_operations
from tasks.train.layer_graph.calls import layers_of
from tasks.train.registry import build_model

FLOAT32 = Policy("float32", fused_batch_normalization=True, jit=False, threads=1)
BFLOAT16 = Policy("bfloat16", fused_batch_normalization=True, jit=False, threads=1)
CONVOLVED = replace(FLOAT32, convolved_gradients=True)
UNFUSED = Policy("float32", fused_batch_normalization=False, jit=False, threads=1)
R4B = Model(name="r4b", family="cnn_batchnorm")
TINY = Model(name="tiny", family="cnn_batchnorm", params={"filters": [4, 8], "dense_units": [8], "dropout": 0})
SIZE = (16, 16)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def targets():
    return np.eye(3, dtype=np.float32)[np.arange(24) % 3]


def network_of(model=TINY):
    return build_model(model, (*SIZE, 3), 3)


def trained(network, policy, pixels, targets, steps=5):
    """A few steps of the policy's copy, and the weights back in the network."""
    copy = for_training(network, policy)
    copy.compile("sgd", "categorical_crossentropy", jit_compile=False)
    losses = [float(copy.train_on_batch(pixels, targets)) for _ in range(steps)]
    take_weights(network, copy)
    return copy, losses


def test_the_fused_kernel_trains_as_keras_does(pixels, targets):
    plain, fused = network_of(), network_of()
    _, losses = trained(plain, UNFUSED, pixels, targets)
    _, fused_losses = trained(fused, FLOAT32, pixels, targets)
    np.testing.assert_allclose(fused_losses, losses, rtol=1e-4)
    for one, other in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.parametrize(("policy", "tolerance"), [(FLOAT32, 1e-5), (BFLOAT16, 1e-2), (CONVOLVED, 1e-5)])
def test_what_is_saved_predicts_as_what_was_trained(policy, tolerance, pixels, targets, tmp_path):
    import keras

    network = network_of()
    copy, _ = trained(network, policy, pixels, targets)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict_on_batch(pixels), copy.predict_on_batch(pixels), atol=tolerance)
    assert {type(layer).__module__.partition(".")[0] for layer in layers_of(loaded)} == {"keras"}
    assert {layer.compute_dtype for layer in layers_of(loaded)} == {"float32"}


def test_a_whole_training_is_saved_in_standard_layers(pixels, targets):
    network = network_of()
    copy, losses = trained(network, BFLOAT16, pixels, targets, steps=30)
    assert losses[-1] < losses[0]
    assert "FusedBatchNormalization" in {type(layer).__name__ for layer in layers_of(copy)}
    assert {str(weight.dtype) for weight in copy.weights} == {"float32"}
    assert copy.predict_on_batch(pixels).dtype == np.float32


def test_a_network_that_the_policy_does_not_change_is_trained_itself():
    network = network_of(TINY)
    assert for_training(network, UNFUSED) is network
    assert for_training(network, FLOAT32) is not network
    assert for_training(network, FLOAT32).get_weights()[0].tolist() == network.get_weights()[0].tolist()


def test_bfloat16_is_for_feature_maps_alone():
    copy = for_training(network_of(), BFLOAT16)
    dtypes = {type(layer).__name__: layer.compute_dtype for layer in copy.layers}
    assert dtypes["Conv2D"] == dtypes["FusedBatchNormalization"] == dtypes["MaxPooling2D"] == "bfloat16"
    assert dtypes["Dense"] == dtypes["Rescaling"] == dtypes["Flatten"] == "float32"


def test_a_whitening_whose_kernel_is_not_trained_stays_exact():
    copy = for_training(network_of(Model(name="fast", family="airbench", params={"filters": [4]})), BFLOAT16)
    convolutions = [layer for layer in copy.layers if type(layer).__name__ == "Conv2D"]
    assert (convolutions[0].name, convolutions[0].compute_dtype) == ("whitening", "float32")
    assert {layer.compute_dtype for layer in convolutions[1:]} == {"bfloat16"}


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_the_fused_layer_gives_what_keras_gives(scale, training):
    import keras

    from tasks.train.compute.batch_normalization import fused_batch_normalization

    maps = np.random.default_rng(0).normal(3, 2, (5, 4, 3, 2)).astype(np.float32)
    layers = [kind(scale=scale) for kind in (keras.layers.BatchNormalization, fused_batch_normalization())]
    expected, received = (np.asarray(layer(maps, training=training)) for layer in layers)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    for one, other in zip(layers[0].weights, layers[1].weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 2, 3, (5, 3)])
@pytest.mark.parametrize("images", [3, 130])  # more than are computed at once
def test_a_weight_gradient_by_a_convolution_is_the_same(kernel, images):
    import keras
    import tensorflow as tf

    from tasks.train.compute.small_maps import small_map_convolution

    numbers = np.random.default_rng(0)
    maps = tf.constant(numbers.normal(size=(images, 5, 7, 3)), tf.float32)
    upstream = tf.constant(numbers.normal(size=(images, 5, 7, 4)), tf.float32)
    found = []
    for kind in (keras.layers.Conv2D, small_map_convolution()):
        layer = kind(4, kernel, padding="same", kernel_initializer=keras.initializers.GlorotUniform(seed=1))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = layer(maps)
        of_weights = tape.gradient(outputs, [maps, *layer.trainable_variables], output_gradients=upstream)
        found.append([outputs, *of_weights])
    for expected, received in zip(*found, strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-3)


def test_only_convolutions_over_small_maps_have_their_gradients_by_convolutions(pixels, targets):
    network = network_of(Model(name="deep", family="cnn_batchnorm", params={"filters": [4, 4, 4], "convolutions": 1}))
    copy, losses = trained(network, CONVOLVED, pixels, targets, steps=20)
    kinds = [type(layer).__name__ for layer in copy.layers if hasattr(layer, "kernel_size")]
    assert kinds == ["Conv2D", "SmallMapConvolution", "SmallMapConvolution"]  # maps of 16×16, 8×8 and 4×4
    assert losses[-1] < losses[0]


def operations(network, side):
    import tensorflow as tf

    call = tf.function(lambda pixels: network(pixels, training=True), autograph=False)
    graph = call.get_concrete_function(tf.TensorSpec((None, side, side, 3), tf.uint8)).graph
    return {operation.type for operation in graph.get_operations()}


def test_images_that_have_the_network_s_size_are_not_resized_in_its_training(pixels):
    network = network_of()
    copy = for_training(network, FLOAT32)
    assert "ScaleAndTranslate" in operations(network, SIZE[0])
    assert "ScaleAndTranslate" not in operations(copy, SIZE[0])
    assert "ScaleAndTranslate" in operations(copy, 2 * SIZE[0])
    larger = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2)
    for images in (pixels, larger):
        np.testing.assert_allclose(copy.predict_on_batch(images), network.predict_on_batch(images), atol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_a_compiled_activation_has_keras_s_value_and_slope(name):
    import keras
    import tensorflow as tf

    from tasks.train.compute.activation import compiled

    maps = tf.constant(np.random.default_rng(0).normal(0, 3, (2, 4, 3, 2)), tf.float32)
    found = []
    for activation in (keras.activations.get(name), compiled(name)):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = activation(maps)
        found += [outputs, tape.gradient(outputs, maps, output_gradients=maps)]
    np.testing.assert_allclose(found[2], found[0], atol=1e-6)
    np.testing.assert_allclose(found[3], found[1], atol=1e-5)


def test_a_network_of_compiled_activations_trains_as_it_would_and_is_saved_with_keras_s(pixels, targets, monkeypatch):
    model = Model(name="fast", family="airbench", params={"filters": [4]})
    plain, network = network_of(model), network_of(model)
    network.set_weights(plain.get_weights())
    copy, losses = trained(network, FLOAT32, pixels, targets)
    assert [layer.activation.__name__ for layer in network.layers if hasattr(layer, "activation")].count("gelu") == 3
    assert all(one is not other for one, other in zip(copy.layers, network.layers, strict=True))
    monkeypatch.setattr("tasks.train.compute.network.COMPILED", ())
    _, expected = trained(plain, FLOAT32, pixels, targets)
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    np.testing.assert_allclose(network.predict_on_batch(pixels), plain.predict_on_batch(pixels), atol=1e-3)


def test_a_frozen_backbone_stays_as_it_is(pixels, targets):
    params = {"backbone": "MobileNetV2", "weights": None, "image_size": 32, "dropout": 0.0}
    network = network_of(Model(name="frozen", family="transfer", params=params))
    before = [layer.get_weights() for layer in layers_of(network)]
    copy, _ = trained(network, BFLOAT16, pixels, targets, steps=2)
    changed = [
        layer.name
        for layer, weights in zip(layers_of(network), before, strict=True)
        if any(not np.array_equal(one, other) for one, other in zip(layer.get_weights(), weights, strict=True))
    ]
    assert changed == ["probabilities"]
    assert len(copy.trainable_weights) == len(network.trainable_weights) == 2


def test_the_recipes_network_takes_what_its_multiplications_say():
    """R4b, 0.92 GFLOP a training image."""
    assert operations_per_image(build_model(R4B, (32, 32, 3), 10)) == (0, pytest.approx(0.92e9, rel=0.02))


def test_a_frozen_backbone_is_passed_once_where_its_features_are_kept():
    params = {"backbone": "VGG16", "weights": None, "image_size": 32}
    network = network_of(Model(name="frozen", family="transfer", params=params))
    plain, augmented = Train(epochs=10), Train(epochs=10, augmentation={"horizontal_flip": True})
    assert training_operations(network, augmented, 100) > 9 * training_operations(network, plain, 100)


def processor_file(tmp_path: Path, flags: str) -> Path:
    path = tmp_path / "cpuinfo"
    first = f"processor : 0\nmodel name\t: A Processor\nflags\t\t: fpu {flags}\n"
    path.write_text(f"{first}\nprocessor : 1\nflags : other\n")
    return path


@pytest.mark.parametrize(
    ("flags", "variables", "reason"),
    [
        ("avx512_bf16", {}, ""),
        ("amx_bf16 amx_tile", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, ""),
        ("avx512f", {}, "the processor has neither avx512_bf16 nor AMX"),
        ("avx512_bf16", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "ONEDNN_MAX_CPU_ISA=AVX2 bars it"),
        ("avx512_bf16", {"DNNL_MAX_CPU_ISA": "avx512_core"}, "DNNL_MAX_CPU_ISA=avx512_core bars it"),
        ("avx512_bf16", {"TF_ENABLE_ONEDNN_OPTS": "0"}, "TF_ENABLE_ONEDNN_OPTS=0 switches oneDNN off"),
    ],
)
def test_whether_bfloat16_is_multiplied_in_hardware(flags, variables, reason, tmp_path, monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processor = this_processor(processor_file(tmp_path, flags))
    assert (processor.name, processor.without_bfloat16) == ("A Processor", reason)


def test_a_machine_that_does_not_tell_has_no_bfloat16(tmp_path):
    assert this_processor(tmp_path / "missing").without_bfloat16


class Measured:
    """Rates as if they had been measured, and whether they were asked for."""

    def __init__(self, *rates: float) -> None:
        self.rates, self.asked = list(rates), 0

    def __call__(self, *_: object) -> list[float]:
        self.asked += 1
        return self.rates


@pytest.fixture
def choose(tmp_path, monkeypatch):
    """`choose(compute, rates, flags)` for R4b at 20 epochs of 50,000 images."""

    def choice(compute=None, rates=(100, 190, 180), flags="avx512_bf16", epochs=20):
        measured = Measured(*rates)
        monkeypatch.setattr("tasks.train.compute.choice.images_per_second", measured)
        file = processor_file(tmp_path, flags)
        monkeypatch.setattr("tasks.train.compute.choice.this_processor", lambda: this_processor(file))
        model = R4B.model_copy(update={"train": Train(epochs=epochs)})
        network = build_model(model, (32, 32, 3), 10)
        policy, reason = choose_policy(network, model, (32, 32), 50_000, compute or Compute(), tmp_path)
        return policy, reason, measured.asked

    return choice


def test_bfloat16_is_taken_where_it_is_faster(choose):
    policy, reason, _ = choose()
    assert policy.dtype == "bfloat16"
    assert reason == "bfloat16, since bfloat16 trains 1.90 times as fast (190 images/s against 100)"


def test_weight_gradients_are_convolutions_where_that_is_faster(choose):
    policy, reason, _ = choose(rates=(100, 180, 198))
    assert (policy.dtype, policy.convolved_gradients) == ("bfloat16", True)
    assert reason == (
        "bfloat16, since bfloat16 trains 1.98 times as fast (198 images/s against 100); "
        "weight gradients as convolutions make it 1.10 times as fast"
    )
    assert not choose(Compute(convolved_gradients=False), rates=(100, 180))[0].convolved_gradients
    set_by_hand, reason, asked = choose(Compute(dtype="bfloat16"), rates=(180, 198))
    assert (set_by_hand.convolved_gradients, asked) == (True, 1)
    assert reason.startswith("bfloat16, as execution.compute.dtype says; weight gradients")


def test_bfloat16_is_left_where_it_hardly_pays(choose):
    assert choose(rates=(100, 105, 109))[0] == choose(Compute(dtype="float32"))[0]


def test_a_processor_without_bfloat16_is_not_measured(choose):
    policy, reason, asked = choose(flags="avx2")
    assert (policy.dtype, asked) == ("float32", 0)
    assert reason == "float32, since the processor has neither avx512_bf16 nor AMX"


def test_everything_can_be_set_by_hand(choose):
    settings = {"fused_batch_normalization": False, "convolved_gradients": True, "jit": True, "threads": 3}
    policy, _, asked = choose(Compute(dtype="bfloat16", **settings), flags="avx2")
    assert (policy, asked) == (Policy("bfloat16", **settings), 0)


def test_a_short_training_is_not_measured(choose, monkeypatch):
    monkeypatch.setattr("tasks.train.compute.choice._WORTH_MEASURING", 1e30)
    assert (choose()[0].dtype, choose()[2]) == ("float32", 0)


def test_a_rate_is_measured_once_for_each_machine_and_network(tmp_path, monkeypatch):
    from tasks.train.compute.rates import images_per_second

    model = Model(name="least", family="cnn_plain", params={"filters": [2], "convolutions": 1, "dense_units": [2]})
    network = network_of(model)
    before = [np.asarray(variable) for variable in network.variables]
    rates = images_per_second(network, model, SIZE, [FLOAT32], tmp_path)
    assert min(rates) > 0
    for one, other in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr("tasks.train.compute.rates._measure", lambda *_: [1.0])
    assert images_per_second(network, model, SIZE, [FLOAT32], tmp_path) == rates
    assert images_per_second(network, model, (32, 32), [FLOAT32], tmp_path) == [1.0]
    for kept in tmp_path.rglob("*.json"):
        kept.write_text("{")
    assert images_per_second(network, model, SIZE, [FLOAT32], tmp_path) == [1.0]


def test_threads_are_told_to_tensorflow():
    """TensorFlow listens once, so this needs a process of its own."""
    code = (
        "import os; from tasks.train.compute.threads import use_threads; use_threads(60)\n"
        "import tensorflow as tf; tf.random.normal((64, 64)) @ tf.random.normal((64, 64))\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    counted = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert 60 <= int(counted) < 120
