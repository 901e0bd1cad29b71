"""Transfer learning: backbones by name and by file, their own preprocessing, what is frozen, missing weights."""

import math
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pandas as pd
import pytest

from pipeline_config.errors import ConfigurationError, Unreachable
from pipeline_config.experiment import Model, Train
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.predictions import correct
from tasks.train.backbones import APPLICATIONS, preprocess
from tasks.train.fit import fit_model
from tasks.train.freezing import find_backbone
from tasks.train.registry import build_model, checked_params, count_parameters

SHAPE = (32, 32, 3)
UNTRAINED = {"weights": None}


def section(train=None, **params):
    return Model(name="m", family="transfer", params=params, train=Train(**train or {}))


def build(shape=SHAPE, outputs=3, **params):
    return build_model(section(**params), shape, outputs)


def refusal(error=ConfigurationError, shape=SHAPE, **params):
    with pytest.raises(error) as caught:
        build(shape, **params)
    return str(caught.value)


def trained_layers(model):
    return [layer.name for layer in find_backbone(model).layers if layer.trainable]


def count(weights):
    return sum(math.prod(weight.shape) for weight in weights)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Path of a saved backbone of two small blocks, its averages as after a training."""
    import keras
    from keras import layers

    inputs = x = keras.Input((None, None, 3), name="images")
    for block in (1, 2):
        x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name=f"block{block}_conv")(x)
        x = layers.BatchNormalization(name=f"block{block}_normal")(x)
    model = keras.Model(inputs, x, name="own")
    model.get_layer("block1_normal").moving_mean.assign([20.0] * 4)
    path = tmp_path_factory.mktemp("backbones") / "own.keras"
    model.save(path)
    return str(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory, pixels):
    """Four images to train and four to validate with."""
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, np.concatenate([pixels, pixels]))
    splits = ["train"] * 4 + ["validation"] * 4
    ids = [str(number) for number in range(8)]
    return ImageSet(pd.DataFrame({"image_id": ids, "label": [0, 1, 2, 0] * 2, "split": splits}), path)


# Preprocessing is the backbone's own, inside the graph


def test_names_are_those_of_keras():
    import keras

    assert set(APPLICATIONS) == {name for name in dir(keras.applications) if name[0].isupper()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VGG16", (100 - 103.939, 0 - 116.779, 255 - 123.68)),
        ("ResNet50", (100 - 103.939, 0 - 116.779, 255 - 123.68)),
        ("DenseNet121", ((1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (100 / 255 - 0.406) / 0.225)),
        ("MobileNetV2", (1, -1, 100 / 127.5 - 1)),
        ("ResNet50V2", (1, -1, 100 / 127.5 - 1)),
        ("EfficientNetB0", (255, 0, 100)),
        ("MobileNetV3Small", (255, 0, 100)),
        ("ConvNeXtTiny", (255, 0, 100)),
        ("own.keras", (255, 0, 100)),
    ],
)
def test_preprocessing_of_a_pixel(name, expected):
    import keras

    inputs = keras.Input((None, None, 3))
    graph = keras.Model(inputs, preprocess(name, inputs))
    pixel = np.array([255, 0, 100], dtype=np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.asarray(graph(pixel)).ravel(), expected, atol=1e-4)


def test_preprocessing_of_every_application_is_that_of_its_module_also_after_loading(pixels, tmp_path):
    import keras

    inputs = keras.Input((None, None, 3))
    graph = keras.Model(inputs, {name: preprocess(name, inputs) for name in APPLICATIONS})
    graph.save(tmp_path / "graph.keras")
    graph = keras.models.load_model(tmp_path / "graph.keras", safe_mode=True)
    received = graph(pixels.astype(np.float32))
    for name in APPLICATIONS:
        module = sys.modules[getattr(keras.applications, name).__module__]
        expected = module.preprocess_input(pixels.astype(np.float32))
        np.testing.assert_allclose(np.asarray(received[name]), expected, atol=1e-4, err_msg=name)


def layer_of(model, kind):
    """The model's only layer of a kind: Keras numbers the names on, from model to model of a process."""
    (layer,) = (layer for layer in model.layers if isinstance(layer, kind))
    return layer


def test_backbone_sees_resized_and_preprocessed_pixels(pixels):
    import keras
    import tensorflow as tf

    model = build(backbone="VGG16", image_size=48, **UNTRAINED)
    features = keras.Model(model.input, layer_of(model, keras.layers.GlobalAveragePooling2D).input)
    resized = tf.image.resize(pixels, (48, 48), antialias=True).numpy()
    expected = find_backbone(model).predict_on_batch(keras.applications.vgg16.preprocess_input(resized))
    np.testing.assert_allclose(features.predict_on_batch(pixels), expected, rtol=1e-3, atol=1e-4)


# Backbones


@pytest.mark.parametrize(("name", "parameters"), [("ResNet50", 23_587_712), ("EfficientNetB0", 4_049_571)])
def test_application_by_name_gives_probabilities_of_images_of_any_size(name, parameters, pixels):
    model = build(backbone=name, **UNTRAINED)
    assert count_parameters(find_backbone(model)) == parameters
    enlarged = pixels.repeat(2, axis=1).repeat(3, axis=2)
    probabilities = model.predict_on_batch(enlarged)
    assert probabilities.shape == (4, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_saved_model_as_backbone_starts_with_its_weights_and_keeps_its_averages_when_all_is_trained(own, images):
    import keras

    model = build(backbone=own, trainable="all", batch_normalization=True)
    before = find_backbone(model).get_weights()
    for kept, saved in zip(before, keras.models.load_model(own).get_weights(), strict=True):
        np.testing.assert_array_equal(kept, saved)
    head_before = layer_of(model, keras.layers.BatchNormalization).moving_mean.numpy()
    fit_model(model, images, Train(epochs=2, learning_rate=0.1), "m")
    backbone = find_backbone(model)
    assert not np.array_equal(backbone.get_layer("block1_conv").get_weights()[0], before[0])
    np.testing.assert_array_equal(backbone.get_layer("block1_normal").moving_mean, [20.0] * 4)
    np.testing.assert_array_equal(backbone.get_layer("block2_normal").moving_mean, [0.0] * 4)
    assert not np.array_equal(layer_of(model, keras.layers.BatchNormalization).moving_mean.numpy(), head_before)


def test_model_holds_its_backbone_and_loads_in_another_process_without_this_project(own, pixels, tmp_path):
    model = build(backbone=own, dense_units=[4], dropout=0.5, batch_normalization=True, convolutions=[4])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    # Called directly: dropout and batch normalisation are in inference mode all the same.
    script = (
        "import keras, numpy; model = keras.models.load_model('model.keras', safe_mode=True); "
        "numpy.save('probabilities.npy', model(numpy.load('pixels.npy')))"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), model.predict_on_batch(pixels), atol=1e-6)


def test_backbone_that_ends_in_a_vector_takes_the_head_directly(tmp_path, pixels):
    import keras

    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "vector.keras")
    model = build(backbone=str(tmp_path / "vector.keras"))
    assert count_parameters(model) == 3 * 3 + 3
    assert model.predict_on_batch(pixels).shape == (4, 3)


# What is wrong with a backbone


def test_misspelt_backbone_lists_the_known_ones_before_anything_is_built():
    with pytest.raises(ConfigurationError) as caught:
        checked_params(section(backbone="ResNet5"))
    sentence = str(caught.value)
    assert sentence.startswith("models.m.params.backbone: expected one of ConvNeXtTiny, ")
    assert sentence.endswith("or the path of a .keras file (did you mean 'ResNet50'?); received 'ResNet5'")


@pytest.mark.parametrize("key", ["backbone", "weights"])
def test_file_that_is_not_there_is_named(key):
    path = "none.keras"
    with pytest.raises(
        ConfigurationError, match=rf"^models\.m\.params\.{key}: expected .*file.*; received .*none\.keras"
    ):
        checked_params(section(**{"backbone": "VGG16", key: path}))


def test_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "text.keras"
    path.write_text("no model")
    assert f"params.backbone: {path} cannot be loaded as a Keras model" in refusal(backbone=str(path))


def test_model_with_code_in_it_is_refused(tmp_path):
    import keras

    inputs = keras.Input((None, None, 3))
    code = keras.layers.Lambda(lambda x: x * 2)
    path = tmp_path / "code.keras"
    keras.Model(inputs, code(inputs)).save(path)
    assert "cannot be loaded as a Keras model without running code" in refusal(backbone=str(path))


@pytest.mark.parametrize("channels", [1, 4])
def test_model_of_other_channels_is_refused_with_its_shapes(tmp_path, channels):
    import keras

    inputs = keras.Input((None, None, channels))
    path = tmp_path / "grey.keras"
    keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs)).save(path)
    assert f"(None, None, None, {channels})" in refusal(backbone=str(path))


def test_images_too_small_for_a_backbone_are_refused():
    sentence = refusal(shape=(16, 16, 3), backbone="VGG16", **UNTRAINED)
    assert sentence.startswith("params.backbone: VGG16 cannot be built for images of 16×16 pixels: ")
    assert "at least 32x32" in sentence
    assert sentence.endswith("give another params.image_size")


# Which layers are trained


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("none", []),
        (None, []),
        (1, ["block2_normal"]),
        (3, ["block1_normal", "block2_conv", "block2_normal"]),
        ("block2_conv", ["block2_conv", "block2_normal"]),
        ("block2", ["block2_conv", "block2_normal"]),
    ],
)
def test_backbone_is_trained_from_the_chosen_layer_on(own, trainable, expected):
    model = build(backbone=own, trainable=trainable)
    assert trained_layers(model) == expected
    assert model.get_layer("probabilities").trainable


def test_whole_backbone_can_be_trained(own):
    assert count(build(backbone=own, trainable="all").non_trainable_weights) == 2 * 2 * 4  # the averages


def test_last_eight_layers_of_vgg16_are_its_blocks_four_and_five():
    layers = trained_layers(build(backbone="VGG16", trainable=8, **UNTRAINED))
    assert layers[0] == "block4_conv1"
    assert layers[-1] == "block5_pool"
    assert layers == trained_layers(build(backbone="VGG16", trainable="block4_conv1", **UNTRAINED))


def test_unknown_layer_lists_some_that_are_there(own):
    assert refusal(backbone=own, trainable="block3_conv") == (
        "params.trainable: expected none, all, a number of last layers, or the name of one of the backbone's 5 layers, "
        "as images, block1_conv, block1_normal, block2_conv, block2_normal; received 'block3_conv'; did you mean "
        "'block2_conv'?"
    )


def test_more_layers_than_there_are_is_refused(own):
    assert "the backbone has 5 layers; received 6" in refusal(backbone=own, trainable=6)


@pytest.mark.parametrize("trainable", [0, -1, True, 1.5, ""])
def test_other_values_of_trainable_are_refused(trainable):
    with pytest.raises(
        ConfigurationError, match=r"^models\.m\.params\.trainable: expected none, all, a number of last"
    ):
        checked_params(section(trainable=trainable))


# The head


def test_recipe_r4g_has_its_number_of_parameters():
    """ResNet50 at 224 pixels, everything from `conv5_block1` on trained."""
    head = {"pooling": "flatten", "dense_units": [256, 128, 64], "batch_normalization": True, "dropout": 0.5}
    model = build(outputs=10, backbone="ResNet50", image_size=224, trainable="conv5_block1", **head, **UNTRAINED)
    assert count_parameters(model) == 49_723_082
    assert count(model.non_trainable_weights) == 8_813_312
    assert len(find_backbone(model).layers) - len(trained_layers(model)) == 143  # 142 and the input
    kinds = [type(layer).__name__ for layer in model.layers]
    repeated = ["Dense", "Dropout", "BatchNormalization"] * 3
    assert kinds[kinds.index("Flatten") :] == ["Flatten", "BatchNormalization", *repeated, "Dense"]


def test_recipe_r5b_has_its_number_of_parameters():
    model = build((150, 150, 3), 2, backbone="VGG16", pooling="flatten", dense_units=[512], **UNTRAINED)
    assert count_parameters(model) == 14_714_688 + (4 * 4 * 512 + 1) * 512 + (512 + 1) * 2
    assert count(model.trainable_weights) == (4 * 4 * 512 + 1) * 512 + (512 + 1) * 2


def test_recipe_r4e_puts_convolutions_before_the_pooling(own):
    model = build(backbone=own, convolutions=[8, 16], dense_units=[4])
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "BatchNormalization", "MaxPooling2D"]
    assert kinds[kinds.index("Conv2D") :] == [*block, *block, "GlobalAveragePooling2D", "Dense", "Dense"]


@pytest.mark.parametrize(("pooling", "features"), [("global_average", 4), ("global_max", 4), ("flatten", 4 * 8 * 8)])
def test_pooling_decides_the_length_of_the_vector(own, pooling, features):
    assert build(backbone=own, pooling=pooling).get_layer("probabilities").kernel.shape == (features, 3)


def test_dropout_without_dense_layers_is_of_the_vector(own):
    kinds = [type(layer).__name__ for layer in build(backbone=own, dropout=0.5).layers]
    assert kinds[-3:] == ["GlobalAveragePooling2D", "Dropout", "Dense"]


# Weights


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty Keras folder, and a proxy at which nobody listens: nothing can be downloaded."""
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of the first request, for ever
    for scheme in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(scheme, "http://127.0.0.1:9")
    for scheme in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(scheme, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


def test_imagenet_is_the_default():
    assert checked_params(section())[1]["weights"] == "imagenet"


@pytest.mark.parametrize(
    ("backbone", "file"),
    [
        ("VGG16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("MobileNetV2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
    ],
)
def test_imagenet_weights_that_cannot_be_fetched_are_named_with_their_folder(offline, capsys, backbone, file):
    import keras

    keras.config.enable_interactive_logging()  # an earlier test's logged model may have ended it for this process
    started = time.monotonic()
    sentence = refusal(Unreachable, backbone=backbone)
    assert time.monotonic() - started < 15
    assert Unreachable.exit_code == 5
    assert sentence.startswith(
        f"params.weights: the ImageNet weights of {backbone} are not in {offline} and cannot be fetched (["
    )
    assert f"put the file {file} there, from https://" in sentence
    assert "\n" not in sentence
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None
    assert keras.config.is_interactive_logging_enabled()
    assert not list(offline.glob("*"))  # nothing half-fetched is left


def test_imagenet_weights_that_are_there_need_no_network(offline):
    import keras

    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=SHAPE)
    offline.mkdir(parents=True)
    network.save(offline / "mobilenet_1_0_224_tf_no_top.h5")
    model = build(backbone="MobileNet")
    for received, expected in zip(find_backbone(model).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)


def test_damaged_imagenet_weights_are_not_used(offline):
    offline.mkdir(parents=True)
    (offline / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"half of it")
    assert "vgg16_weights" in refusal(Unreachable, backbone="VGG16")


def test_weights_of_a_file_are_loaded(tmp_path):
    import keras

    network = keras.applications.VGG16(include_top=False, weights=None, input_shape=SHAPE)
    path = tmp_path / "network.weights.h5"
    network.save_weights(path)
    model = build(backbone="VGG16", weights=str(path))
    for received, expected in zip(find_backbone(model).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    assert f"params.weights: {path} cannot be loaded into VGG19" in refusal(backbone="VGG19", weights=str(path))


def test_saved_backbone_takes_no_other_weights(own):
    assert "is a saved model with weights of its own; received none" in refusal(backbone=own, weights=None)


@pytest.mark.usefixtures("offline")
def test_looking_at_a_model_downloads_nothing(own):
    model = build_model(section(backbone="VGG16"), SHAPE, 3, download=False)
    assert count_parameters(model) == 14_714_688 + 512 * 3 + 3
    model = build_model(section(backbone=own), SHAPE, 3, download=False)
    assert find_backbone(model).get_layer("block1_normal").moving_mean[0] == 20


# Real weights and pictures


def test_pretrained_backbone_tells_cats_from_dogs_after_sixty_pictures_of_each(real_data, tmp_path):
    from PIL import Image

    weights = real_data("../weights/efficientnet_lite0_imagenet_notop.keras")
    rows, pictures = [], []
    for label, folder in enumerate(sorted(path for path in real_data("cats_vs_dogs").iterdir() if path.is_dir())):
        for number, path in enumerate(sorted(folder.rglob("*.jpg"))[:110]):
            rows.append((path.name, label, "train" if number < 60 else "validation"))
            pictures.append(np.asarray(Image.open(path).convert("RGB").resize((96, 96))))
    np.save(tmp_path / "pixels.npy", np.stack(pictures))
    images = ImageSet(pd.DataFrame(rows, columns=["image_id", "label", "split"]), tmp_path / "pixels.npy")
    head = {"batch_normalization": True, "dropout": 0.5}
    chosen = section({"epochs": 8, "learning_rate": 0.01, "batch_size": 20}, backbone=str(weights), **head)
    model = build_model(chosen, (96, 96, 3), 2)
    fit_model(model, images, chosen.train, "m")
    accuracy = correct(predict_split(model, images, "validation", ("cat", "dog"))).mean()
    assert accuracy > 0.85
