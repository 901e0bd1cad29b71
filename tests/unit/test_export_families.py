"""Every model family in every form for other programs, each answering as the Keras model does."""

from pathlib import Path

import numpy as np
import pytest

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model
from tasks.serve.export import FORMATS, export_model
from tasks.train.registry import build_model, checked_params, family_names

pytestmark = pytest.mark.soak
CLASSES = ("a", "b")
NETWORKS = sorted(set(family_names()) - {"linear_svm"})


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a backbone that is quicker to convert than any with a name."""
    import keras

    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, strides=2, activation="gelu")]
    path = tmp_path_factory.mktemp("backbones") / "own.keras"
    keras.Sequential([keras.Input((None, None, 3)), *layers]).save(path)
    return str(path)


def smallest(family: str, backbone: str):
    params = {"backbone": backbone} if family == "transfer" else None
    module, _ = checked_params(Model(name="m", family=family, params=params or {}))
    return build_model(Model(name="m", family=family, params=params or module.SMALLEST), (32, 32, 3), len(CLASSES))


@pytest.mark.parametrize("family", NETWORKS)
def test_every_network_can_be_exported(family, form, backbone, tmp_path):
    export_model(smallest(family, backbone), form, tmp_path / "out", CLASSES, (32, 32))
    assert {path.name for path in Path(tmp_path, "out").iterdir()} == {FORMATS[form].name, "about.json"}


def test_a_machine_that_is_no_network_is_refused_in_a_sentence(backbone, tmp_path):
    with pytest.raises(ConfigurationError, match="expected a Keras model; received a support vector machine"):
        export_model(smallest("linear_svm", backbone), "litert", tmp_path / "out", CLASSES, (32, 32))


@pytest.mark.parametrize("size", [(24, 20), (12, 40)])
def test_a_network_that_resizes_its_images_answers_the_same_without_antialiasing(form, size, tmp_path):
    """LiteRT and ONNX have no antialiased resizing, to a smaller size or a larger one."""
    import keras

    pixels = keras.Input((None, None, 3))
    resized = keras.ops.image.resize(pixels, size, interpolation="bilinear", antialias=True)
    rows = keras.layers.Reshape((-1, 3))(resized / 255)
    weights = keras.ops.convert_to_tensor(np.linspace(-1, 1, size[0] * size[1])[None, :, None], "float32")
    network = keras.Model(pixels, keras.layers.Softmax()(keras.ops.sum(rows * weights, 1)[:, :2]))
    assert export_model(network, form, tmp_path / "out", CLASSES, (16, 32)) <= 1e-4


def test_onnx_takes_no_input_but_the_pixels_whatever_the_preprocessing_holds(tmp_path):
    """Mean and deviation of DenseNet's preprocessing are constants outside of any layer."""
    import keras
    import onnxruntime

    pixels = keras.Input((None, None, 3))
    centred = keras.applications.densenet.preprocess_input(pixels)
    network = keras.Model(pixels, keras.layers.Softmax()(keras.ops.mean(centred, (1, 2))[:, :2]))
    export_model(network, "onnx", tmp_path / "out", CLASSES, (16, 16))
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [given.name for given in session.get_inputs()] == ["pixels"]
