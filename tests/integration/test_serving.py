"""What MLflow's server makes of requests to the registered models, without its port: files in base64, pixels."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import tasks.opening

CLASSES = ("blue", "red")
KINDS = ["cnn", "both", "box", "svm"]


@pytest.fixture
def home_folder(served: SimpleNamespace) -> Path:
    return Path(served.home)


@pytest.fixture
def ask(served) -> Callable[..., list[dict[str, Any]]]:
    """`ask("cnn", [{"image": …}])`: what MLflow's server answers for the champion of that name, without its port."""
    import mlflow
    from mlflow.pyfunc.scoring_server import invocations

    mlflow.set_tracking_uri(served.client.tracking_uri)

    def post(name, records):
        model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        body = json.dumps({"dataframe_records": records})
        answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
        assert answer.status == 200, answer.response
        return json.loads(answer.response)["predictions"]

    return post


def in_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def pixels_of(paths: list[Path]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def check(answers: list[dict[str, Any]], model: Any, pixels: np.ndarray) -> None:
    """Answers are those of the model itself."""
    from tasks.prediction import predict_heads

    heads = predict_heads(model, pixels)
    assert [answer["note"] for answer in answers] == [""] * len(pixels)
    if "probabilities" in heads:
        said = [[answer["probabilities"][name] for name in CLASSES] for answer in answers]
        np.testing.assert_allclose(said, heads["probabilities"], atol=1e-5)
        assert [answer["label"] for answer in answers] == [CLASSES[row.argmax()] for row in heads["probabilities"]]
        np.testing.assert_allclose([answer["confidence"] for answer in answers], np.max(said, axis=1))
    else:
        assert {answer["label"] for answer in answers} == {None}
    if "box" in heads:
        boxes = [[answer["box"][side] for side in ("x", "y", "width", "height")] for answer in answers]
        np.testing.assert_allclose(boxes, heads["box"], atol=1e-5)
    else:
        assert {answer["box"] for answer in answers} == {None}


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_base64_and_pixels_of_one_request_are_answered_as_by_the_model(served, ask, pictures, kind):
    paths = sorted(pictures.glob("*/00*.png"))
    pixels = pixels_of(paths)
    as_files = [{"image": in_base64(path)} for path in paths[::2]]
    as_pixels = [{"pixels": one.tolist()} for one in pixels[1::2]]
    mixed = [record for pair in zip(as_files, as_pixels, strict=True) for record in pair]
    check(ask(kind, mixed), served.models[kind], pixels)


def test_images_of_other_sizes_are_resized_as_for_the_training(served, ask):
    from tasks.input_pipeline import resize

    large = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(large).save(file, "PNG")
    records = [{"image": base64.b64encode(file.getvalue()).decode()}, {"pixels": large.tolist()}]
    check(ask("svm", records), served.models["svm"], np.stack([resize(large, (16, 16))] * 2))


BAD = {
    "no base64": ({"image": "!"}, "expected a file in base64; received another text"),
    "no image": ({"image": base64.b64encode(b"no image").decode()}, "cannot be opened: not an image"),
    "50 MB": ({"image": base64.b64encode(bytes(50_000_000)).decode()}, "expected at most 32 MB; received 50.0 MB"),
    "an array as a file": ({"image": [[[1, 2, 3]]]}, "name it pixels"),
    "nothing": ({"image": None}, "expected one of image and pixels; received neither"),
    "both": ({"image": "AAAA", "pixels": [[[1, 2, 3]]]}, "received image and pixels"),
    "grey": (
        {"pixels": [[1, 2], [3, 4]]},
        "expected pixels (height, width, 3) of numbers in 0..255; received",
    ),
    "ragged": ({"pixels": [[[1, 2, 3]], [[1]]]}, "received rows of unlike length, or no numbers"),
    "words": ({"pixels": [[["a", "b", "c"]]]}, "received rows of unlike length, or no numbers"),
    "too bright": ({"pixels": [[[0, 0, 256]] * 4] * 4}, "received 0 to 256"),
    "not numbers": ({"pixels": [[[0, 0, None]] * 4] * 4}, "received nan to nan"),
    "a dot": ({"pixels": [[[1, 2, 3]]]}, "1×1 pixels show nothing"),
}


def test_every_bad_image_has_a_sentence_and_the_sound_one_beside_it_an_answer(served, ask, pictures):
    sound = pictures / "red" / "000.png"
    *answers, last = ask("svm", [*(record for record, _ in BAD.values()), {"image": in_base64(sound)}])
    for answer, (_, sentence) in zip(answers, BAD.values(), strict=True):
        assert sentence in answer["note"], answer
        assert answer["label"] is answer["confidence"] is answer["probabilities"] is answer["box"] is None
    check([last], served.models["svm"], pixels_of([sound]))


def test_records_without_an_image_have_a_sentence_each(ask):
    for answer in ask("svm", [{"picture": "AAAA"}, {"picture": "AAAA"}]):
        assert answer["note"] == "expected one of image and pixels; received neither"


def test_a_model_that_is_loaded_has_done_what_a_first_request_would_wait_for(served):
    """Resizing imports TensorFlow, which threads that answer requests must not do at once."""
    import mlflow

    mlflow.set_tracking_uri(served.client.tracking_uri)
    with mock.patch("tasks.opening.resize", wraps=tasks.opening.resize) as resize:
        mlflow.pyfunc.load_model("models:/svm@champion")
    assert resize.call_count == 1


def test_in_python_bytes_and_arrays_are_taken_as_they_are(served, pictures):
    import mlflow

    mlflow.set_tracking_uri(served.client.tracking_uri)
    path = pictures / "blue" / "001.png"
    model = mlflow.pyfunc.load_model("models:/svm@champion")
    answers = model.predict([{"image": path.read_bytes()}]) + model.predict([{"pixels": pixels_of([path])[0]}])
    check(answers, served.models["svm"], pixels_of([path, path]))


@pytest.mark.parametrize("kind", ["cnn", "svm"])
def test_the_signature_names_what_goes_in_and_comes_out_and_nothing_is_pickled(served, kind, tmp_path):
    import mlflow

    from tasks.tracking import fetch_model

    mlflow.set_tracking_uri(served.client.tracking_uri)
    folder = fetch_model(f"models:/{kind}@champion", tmp_path)
    described = mlflow.models.Model.load(str(folder))
    assert described.signature.inputs.input_names() == ["image", "pixels"]
    outputs = ["label", "confidence", "probabilities", "box", "note"]
    assert described.signature.outputs.input_names() == outputs
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".cloudpickle"}]
    example = described.load_input_example(str(folder))
    assert {len(mlflow.pyfunc.load_model(str(folder)).predict(example)), len(example)} == {2}
