"""`darkroom export`: models for other programs, written only if they answer as the Keras model does."""

import json
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from pipeline_config.errors import ConfigurationError, DarkroomError

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), np.uint8)


@pytest.fixture
def home_folder(served: SimpleNamespace) -> Path:
    return Path(served.home)


@pytest.mark.parametrize("name", ["cnn", "both"])
def test_a_saved_model_answers_as_the_keras_model_for_raw_images_of_another_size(served, name, tmp_path):
    import tensorflow as tf

    from flows.export import export
    from tasks.prediction import predict_heads

    answer = export("saved_model", None, name, tmp_path / "out")
    assert answer["largest_difference"] <= 1e-4
    large = np.random.default_rng(2).integers(0, 256, (2, 40, 30, 3), np.uint8)
    loaded = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    received = loaded.serve(large.astype(np.float32))
    expected = predict_heads(served.models[name], large)
    assert received.keys() == expected.keys()
    for head, values in expected.items():
        np.testing.assert_allclose(received[head], values, atol=1e-4)


def test_litert_answers_as_the_keras_model_and_tells_its_classes(served):
    import warnings

    import tensorflow as tf

    from flows.export import export
    from tasks.prediction import predict_heads

    answer = export("litert", "both@champion", None, None)
    folder = Path(answer["folder"])
    assert folder == served.home / "exports" / "both-1-litert"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner()
    received = runner(pixels=IMAGES.astype(np.float32))
    expected = predict_heads(served.models["both"], IMAGES)
    assert received.keys() == expected.keys()
    for head, values in expected.items():
        np.testing.assert_allclose(received[head], values, atol=1e-4, err_msg=head)
    about = json.loads((folder / "about.json").read_text())
    assert (about["class_names"], about["image_size"]) == (["blue", "red"], [16, 16])
    assert about["outputs"].keys() == expected.keys()


def test_onnx_answers_as_the_keras_model_in_onnx_runtime(served, tmp_path):
    import onnxruntime

    from flows.export import export
    from tasks.prediction import predict_heads

    export("onnx", None, "both", tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    heads = [output.name for output in session.get_outputs()]
    received = dict(zip(heads, session.run(None, {"pixels": IMAGES.astype(np.float32)}), strict=True))
    expected = predict_heads(served.models["both"], IMAGES)
    assert received.keys() == expected.keys()
    for head, values in expected.items():
        np.testing.assert_allclose(received[head], values, atol=1e-4, err_msg=head)


def test_what_would_answer_otherwise_is_not_written(tmp_path):
    """The batch normalisation and the dropout of this network answer otherwise in training mode."""
    import keras

    from flows.export import export

    def in_training(model, size):
        pixels = keras.Input((*size, 3), name="pixels")
        return keras.Model(pixels, {"probabilities": model(pixels, training=True)})

    with (
        mock.patch("tasks.serve.export.freeze", in_training),
        pytest.raises(DarkroomError, match=r"expected the answers of the Keras model.*differs by up to 0\.\d+"),
    ):
        export("saved_model", None, "cnn", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_told_in_a_sentence_with_the_mend(tmp_path):
    from flows.export import export

    with pytest.raises(ConfigurationError, match="expected one of saved_model, onnx, litert; received 'coreml'"):
        export("coreml", None, "cnn", tmp_path / "out")
    with pytest.raises(ConfigurationError, match="received a support vector machine"):
        export("litert", None, "svm", tmp_path / "out")
    with pytest.raises(ConfigurationError, match="expected a name for a new folder"):
        export("litert", None, "cnn", tmp_path)
    absent = mock.patch("importlib.util.find_spec", return_value=None)
    with absent, pytest.raises(ConfigurationError, match="not installed: tf2onnx, onnx, onnxruntime; `pip"):
        export("onnx", None, "cnn", tmp_path / "out")
