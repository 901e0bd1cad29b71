"""A network as an ONNX file by tf2onnx, and what the file answers by ONNX Runtime."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
_INPUT = "pixels"


def write_onnx(network: Any, path: Path) -> None:
    """Write a functional Keras model of one input."""
    import keras

    _teach_erfc()
    pixels = keras.InputSpec("float32", network.input_shape, name=_INPUT)  # unless told, Keras asks for a call
    network.export(str(path), format="onnx", verbose=False, input_signature=[pixels])


def open_onnx(path: Path) -> Callable[[npt.NDArray[np.float32]], dict[str, npt.NDArray[np.float32]]]:
    """The file as a function of `(n, height, width, 3)`; its answers by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return lambda pixels: dict(zip(names, session.run(names, {_INPUT: pixels}), strict=True))


def _teach_erfc() -> None:
    """GELU is made of it, and tf2onnx 1.17 does not know it: erfc(x) = 1 - erf(x), as its definition has it."""

    class Erfc:
        @classmethod
        def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
            (value,), (result,) = node.input, node.output
            shape, kind = graph.get_shape(result), graph.get_dtype(result)
            graph.remove_node(node.name)
            one = graph.make_const(f"{node.name}_one", np.ones(1, np.float32))
            erf = graph.make_node("Erf", [value])
            graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[result], shapes=[shape], dtypes=[kind])

    importlib.import_module("tf2onnx.handler").tf_op("Erfc")(Erfc)
