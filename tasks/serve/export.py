"""A Keras model in a form that other programs run: TensorFlow's SavedModel, ONNX or LiteRT."""

import importlib.util
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_config.errors import ConfigurationError, DarkroomError
from tasks.prediction import predict_heads
from tasks.progress import without_native_lines
from tasks.serve.onnx_form import PACKAGES, open_onnx, write_onnx

_TOLERANCE = 1e-4  # of probabilities and of fractions of the image
_IMAGES = 8

Floats = npt.NDArray[np.float32]
Run = Callable[[Floats], Any]


@dataclass(frozen=True)
class Format:
    """One form.

    Attributes:
        name: of the file or folder in what is exported.
        needs: packages that it takes.
        any_size: whether it takes images of any size, and resizes them itself.
        write: a network to a path.
        open: what was written as a function of `(n, height, width, 3)`, to compare its answers.
    """

    name: str
    needs: tuple[str, ...]
    any_size: bool
    write: Callable[[Any, Path], None]
    open: Callable[[Path], Run]


def export_model(
    model: Any, form: str, folder: Path, class_names: tuple[str, ...], image_size: tuple[int, int]
) -> float:
    """Write `folder` with the model and `about.json`: whole, and only once the model in it answers as the Keras model.

    Args:
        model: Keras model that takes raw pixels.
        form: of `FORMATS`.
        folder: that is not there yet.
        class_names: in label order.
        image_size: height and width that the model learned from.

    Returns:
        The largest difference to the Keras model's probabilities, and boxes in fractions, on raw images.

    Raises:
        ConfigurationError: no such form, a package is missing, the folder is there, or the model is no network.
        DarkroomError: the exported model answers otherwise, or cannot be made; nothing is written.
    """
    chosen = _check(model, form, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        inside = Path(temporary, "export")
        inside.mkdir()
        path = inside / chosen.name
        difference = _write_and_compare(chosen, model, path, image_size)
        about = _describe(chosen, model, class_names, image_size)
        (inside / "about.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        shutil.move(inside, folder)
    return difference


def _check(model: Any, form: str, folder: Path) -> Format:
    if form not in FORMATS:
        raise ConfigurationError(f"--format: expected one of {', '.join(FORMATS)}; received '{form}'")
    if hasattr(model, "predict_proba"):
        raise ConfigurationError(
            "expected a Keras model; received a support vector machine, which none of these forms can hold; "
            "`mlflow models serve` serves it, skops.io loads its file"
        )
    missing = [package for package in FORMATS[form].needs if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigurationError(
            f"--format {form}: expected the packages {', '.join(FORMATS[form].needs)}; not installed: "
            f"{', '.join(missing)}; `pip install {' '.join(missing)}`, or take {' or '.join(_without_needs())}"
        )
    if folder.exists():
        raise ConfigurationError(f"--output: expected a name for a new folder; received {folder}, which is there")
    return FORMATS[form]


def _without_needs() -> list[str]:
    return [name for name, form in FORMATS.items() if not form.needs]


def _write_and_compare(form: Format, model: Any, path: Path, image_size: tuple[int, int]) -> float:
    try:
        with without_native_lines(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow names the successor of its LiteRT interpreter
            form.write(freeze(model, image_size if not form.any_size else (None, None)), path)
            difference = _difference(form.open(path), model, image_size)
    except Exception as error:  # converters raise whatever they like
        words = " ".join(str(error).split())[:500]
        raise DarkroomError(f"the model cannot be converted: {type(error).__name__}: {words}") from error
    if not difference <= _TOLERANCE:
        raise DarkroomError(
            f"expected the answers of the Keras model, to within {_TOLERANCE:g}; the exported model differs by up to "
            f"{difference:.3g}; nothing is written"
        )
    return difference


def freeze(model: Any, size: tuple[int | None, int | None]) -> Any:
    """The network as it predicts, and never trains, whoever calls it how: layers that resize images ask for training.

    Its outputs have the names of the heads, `probabilities` and `box`.

    Args:
        model: Keras model.
        size: height and width of its input; None where any will do.
    """
    import keras

    pixels = keras.Input((*size, 3), name="pixels")
    if None not in size:
        given = keras.Input((*size, 3))
        model = keras.models.clone_model(model, given, lambda layer: layer, _call_plainly)  # the same weights
    answer = model(pixels, training=False)
    return keras.Model(pixels, answer if isinstance(answer, dict) else {"probabilities": answer})


def _call_plainly(operation: Any, *arguments: Any, **more: Any) -> Any:
    """Antialiased resizing, which LiteRT and ONNX lack, is nothing where the size is right, and else two matrices."""
    import keras

    arguments, more = keras.tree.map_structure(_constant, (arguments, more))
    if type(operation).__name__ != "Resize":
        return operation(*arguments, **more)
    (images,) = arguments
    if tuple(images.shape[1:3]) == tuple(operation.size):
        return images
    return _resize_by_matrices(images, operation)


def _constant(argument: Any) -> Any:
    """A tensor that is held outside of layers, as the mean of a preprocessing, would become an input of the graph."""
    import keras

    return keras.ops.convert_to_numpy(argument) if keras.ops.is_tensor(argument) else argument


def _resize_by_matrices(images: Any, resize: Any) -> Any:
    """Resizing is linear, and each axis has its own weights, which are the resized unit vectors of that axis."""
    from keras import ops

    for old, new in zip(images.shape[1:3], resize.size, strict=True):
        unit_vectors = np.eye(old, dtype=np.float32)[..., None]
        way = {"interpolation": resize.interpolation, "antialias": resize.antialias}
        weights = ops.convert_to_numpy(ops.image.resize(unit_vectors, (new, old), **way))[..., 0]
        images = ops.matmul(ops.transpose(images, (0, 2, 3, 1)), weights.T)  # this axis last; twice is a full turn
        images = ops.transpose(images, (0, 1, 3, 2))  # (n, other axis, this axis resized, channels)
    return images


def _difference(run: Run, model: Any, image_size: tuple[int, int]) -> float:
    """Largest difference between any two answers; NaN counts as one."""
    images = np.random.default_rng(0).integers(0, 256, (_IMAGES, *image_size, 3), np.uint8)
    images[1::2] = images[1::2, :1, :1]  # every other one of one colour
    images >>= np.arange(_IMAGES, dtype=np.uint8)[:, None, None, None]  # ever darker: loud ones may saturate a softmax
    expected, received = predict_heads(model, images), run(images.astype(np.float32))
    return float(np.max([np.abs(np.asarray(received[head]) - values).max() for head, values in expected.items()]))


def _describe(form: Format, model: Any, class_names: tuple[str, ...], image_size: tuple[int, int]) -> dict[str, Any]:
    """What somebody must know who has these files alone."""
    heads = model.output_names if isinstance(model.output, dict) else ["probabilities"]
    size = "of any size" if form.any_size else f"resized to {image_size[0]}×{image_size[1]}, bilinear and antialiased"
    return {
        "class_names": list(class_names),
        "image_size": list(image_size),
        "input": f"float32 (images, height, width, 3), RGB in 0..255, upright, {size}",
        "outputs": {
            head: "x, y, width, height in fractions of the image" if head == "box" else "in the order of class_names"
            for head in heads
        },
    }


def _write_saved_model(network: Any, path: Path) -> None:
    network.export(str(path), format="tf_saved_model", verbose=False)


def _open_saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda pixels: loaded.serve(pixels)  # its variables are gone once nobody holds what was loaded


def _write_litert(network: Any, path: Path) -> None:
    network.export(str(path), format="litert", verbose=False)


def _open_litert(path: Path) -> Run:
    import tensorflow as tf

    runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda pixels: runner(**{name: pixels})


FORMATS = {
    "saved_model": Format("saved_model", (), True, _write_saved_model, _open_saved_model),
    "onnx": Format("model.onnx", PACKAGES, False, write_onnx, open_onnx),
    "litert": Format("model.tflite", (), False, _write_litert, _open_litert),
}
