"""Models in MLflow: logged with signature and explicit requirements, loaded without running code they might carry."""

import base64
import io
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline_config.errors import DarkroomError
from tasks.tracking.store import client

MODEL_NAME = "model"
_SERVED = "served_model.py"
_REQUIREMENTS = {"keras": ("tensorflow", "keras", "numpy"), "sklearn": ("scikit-learn", "skops", "numpy")}
# Types of a saved SVM pipeline that skops does not know; loading any other unknown type is refused.
_TRUSTED_TYPES = [
    "numpy.reshape",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._TemperatureScaling",
]


Answer = npt.NDArray[np.floating] | dict[str, npt.NDArray[np.floating]]
"""`(n, classes)` probabilities; or a dict of heads, as `probabilities` and `box`, each `(n, …)`."""


def log_model(
    run_id: str, model: Any, example: npt.NDArray[np.uint8], answer: Answer, class_names: tuple[str, ...]
) -> str:
    """The model with signature, input example and explicit requirements; never pickled.

    Its metadata has what it takes to use it alone: `class_names` and the `image_size` that images are resized to.

    Args:
        run_id: of the train run.
        model: Keras model or scikit-learn pipeline.
        example: `(n, height, width, 3)` raw pixels.
        answer: what the model answers to the example.
        class_names: in label order.

    Returns:
        The logged model's id.
    """
    from mlflow.models import Model

    flavor = "sklearn" if hasattr(model, "predict_proba") else "keras"
    requirements = [f"{package}=={version(package)}" for package in _REQUIREMENTS[flavor]]
    # Made beforehand, since Model.log would put it into the experiment that happens to be active in this thread.
    experiment_id = client().get_run(run_id).info.experiment_id
    created = client().create_logged_model(experiment_id, name=MODEL_NAME, source_run_id=run_id, model_type=flavor)
    Model.log(
        artifact_path=None,
        model_id=created.model_id,
        run_id=run_id,
        flavor=_Flavor(flavor, example, answer),
        metadata={"class_names": list(class_names), "image_size": list(example.shape[1:3])},
        model=model,
        pip_requirements=requirements,
        input_example=_as_files(example),
    )
    return str(created.model_id)


def _as_files(pixels: npt.NDArray[np.uint8]) -> list[dict[str, str]]:
    """Each image as a PNG file in base64, as a request to the served model has it."""
    files = []
    for one in pixels:
        file = io.BytesIO()
        Image.fromarray(one).save(file, "PNG")
        files.append({"image": base64.b64encode(file.getvalue()).decode()})
    return files


class _Flavor:
    """MLflow's flavour of a library, whose own loader loads the model, and beside it what `served_model.py` answers."""

    def __init__(self, flavor: str, example: npt.NDArray[np.uint8], answer: Answer) -> None:
        self.__name__ = f"mlflow.{flavor}"
        self._flavor, self._example, self._answer = flavor, example, answer

    def save_model(self, path: str, mlflow_model: Any, model: Any, **arguments: Any) -> None:
        """What `Model.log` calls."""
        import mlflow

        Path(path).mkdir()  # MLflow's keras flavour writes the input example there before it makes it (3.17.2)
        if self._flavor == "keras":
            import keras

            keras.config.disable_interactive_logging()  # MLflow tries the input example, and Keras would print a bar
            signature = _tensor_signature(self._example, self._answer)  # it takes no other
            mlflow.keras.save_model(model, path, mlflow_model=mlflow_model, signature=signature, **arguments)
        else:
            arguments |= {"serialization_format": "skops", "skops_trusted_types": _TRUSTED_TYPES}
            mlflow.sklearn.save_model(
                model, path, mlflow_model=mlflow_model, signature=_served_signature(), **arguments
            )
        _add_served(mlflow_model, Path(path))


def _add_served(mlflow_model: Any, folder: Path) -> None:
    """Have MLflow serve the model by the code of `served_model.py`, with its signature."""
    import mlflow

    shutil.copy(Path(__file__).with_name(_SERVED), folder)
    mlflow.pyfunc.add_to_model(
        mlflow_model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=_SERVED,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    mlflow_model.signature = _served_signature()
    mlflow_model.save(str(folder / "MLmodel"))


def _tensor_signature(example: npt.NDArray[np.uint8], answer: Answer) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    heads = answer if isinstance(answer, dict) else {None: answer}
    outputs = [TensorSpec(values.dtype, (-1, *values.shape[1:]), name) for name, values in heads.items()]
    return ModelSignature(Schema([TensorSpec(example.dtype, (-1, -1, -1, 3))]), Schema(outputs))


def _served_signature() -> Any:
    """Of a request a file or pixels an image: MLflow would look at every single number of an array with a type."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType, Map

    inputs = [ColSpec(AnyType(), name, required=False) for name in ("image", "pixels")]
    numbers = Map("double")
    outputs = {"label": "string", "confidence": "double", "probabilities": numbers, "box": numbers, "note": "string"}
    return ModelSignature(
        Schema(inputs), Schema([ColSpec(kind, name, required=name == "note") for name, kind in outputs.items()])
    )


def fetch_model(model_uri: str, folder: Path) -> Path:
    """Fetch a logged model's files into a folder; returns where they are."""
    import mlflow

    folder.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=str(folder)))


def load_model(folder: Path) -> Any:
    """The model in a folder of `fetch_model`, loaded without running code that it might carry.

    Raises:
        DarkroomError: the model holds something that is not safe to load.
    """
    saved = next(folder.rglob("*.skops"), None)
    if saved is None:
        import mlflow

        return mlflow.keras.load_model(str(folder))  # Keras's safe mode is on unless switched off
    import skops.io

    unknown = set(skops.io.get_untrusted_types(file=saved)) - set(_TRUSTED_TYPES)
    if unknown:
        raise DarkroomError(f"{saved}: holds types that are not trusted: {', '.join(sorted(unknown))}; train it again")
    return skops.io.load(saved, trusted=_TRUSTED_TYPES)
