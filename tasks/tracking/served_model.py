"""What a logged model answers over HTTP. A copy of this file lies in each model, and MLflow runs it: no pickle.

    mlflow models serve -m models:/NAME@champion --env-manager local

A request has a record an image, with one of: `image`, a file (PNG, JPEG, …) in base64, or bytes where there is no JSON
between; `pixels`, `(height, width, 3)` RGB in 0..255 of any size. Darkroom must be installed where it is served.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel
from typing_extensions import override

from tasks.answers import Answer
from tasks.opening import Opened, check_bytes, open_image, open_pixels, why_not_opened
from tasks.prediction import BATCH_SIZE
from tasks.serving import answer_batch
from tasks.tracking.served import ServedModel, open_folder


class Classifier(PythonModel):  # type: ignore[misc]  # MLflow is untyped to us: its classes are Any
    """The model in this file's folder."""

    _skip_type_hint_validation = True  # else MLflow warns that these hints describe no request, as its signature does

    @override
    def load_context(self, context: Any) -> None:
        """Load it, without running code that its weights might carry, and ask it once.

        Else the first request would wait for TensorFlow and for the network's tracing, and several at once would do
        both in each other's way.
        """
        folder = Path(__file__).parent
        self._served = open_folder(str(folder), folder)
        height, width = self._served.image_size
        self._answer([{"pixels": np.zeros((2 * height, 2 * width, 3))}])  # a size that takes resizing

    @override
    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[Answer]:
        """A record an image: as of `describe`, with a `note` on what was wrong with it, or was done to it."""
        # Of records with other keys only MLflow leaves rows without columns.
        records = model_input.to_dict("records") or [{} for _ in range(len(model_input))]
        batches = (records[start : start + BATCH_SIZE] for start in range(0, len(records), BATCH_SIZE))
        return [answer for batch in batches for answer in self._answer(batch)]

    def _answer(self, records: list[dict[str, Any]]) -> list[Answer]:
        served: ServedModel = self._served
        opened = [_open(str(number), record, served.image_size) for number, record in enumerate(records)]
        return list(answer_batch(served.model, opened, served.class_names).values())


def _open(name: str, record: dict[str, Any], image_size: tuple[int, int]) -> Opened:
    given = {key: value for key, value in record.items() if isinstance(value, (str, bytes, list, np.ndarray))}
    if len(given) != 1:
        return Opened(name, None, f"expected one of image and pixels; received {' and '.join(given) or 'neither'}")
    try:
        if "image" in given:
            return open_image(name, _decode_base64(given["image"]), image_size)
        return _take_pixels(name, given["pixels"], image_size)
    except (OSError, ValueError) as error:
        return Opened(name, None, why_not_opened(error))


def _decode_base64(image: Any) -> bytes:
    if not isinstance(image, (str, bytes)):
        raise ValueError("expected a file in base64; received an array; name it pixels")
    try:
        encoded = image if isinstance(image, bytes) else base64.b64decode("".join(image.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected a file in base64; received another text") from None
    check_bytes(len(encoded))
    return encoded


def _take_pixels(name: str, given: Any, image_size: tuple[int, int]) -> Opened:
    expected = "expected pixels (height, width, 3) of numbers in 0..255"
    try:
        pixels = np.asarray(given, dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError(f"{expected}; received rows of unlike length, or no numbers") from None
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"{expected}; received the shape {pixels.shape}")
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise ValueError(f"{expected}; received {pixels.min():g} to {pixels.max():g}")
    return open_pixels(name, np.rint(pixels).astype(np.uint8), image_size)


if __name__.startswith("code_model_"):  # MLflow's name for it, once it lies in a model
    mlflow.models.set_model(Classifier())
