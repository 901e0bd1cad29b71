"""Models in MLflow: logged with signature and explicit requirements, loaded without running code they might carry."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_config.errors import DarkroomError
from tasks.tracking.store import client

MODEL_NAME = "model"
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
        metadata={"class_names": list(class_names), "image_size": list(example.shape[1:3])},
        signature=_signature(flavor, example, answer),
        pip_requirements=requirements,
        input_example=example,
        **_flavor_arguments(flavor, model),
    )
    return str(created.model_id)


def _signature(flavor: str, example: npt.NDArray[np.uint8], answer: Answer) -> Any:
    """Pixels of any size for a Keras model, which resizes; of one size for a pipeline. Heads are named."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    height, width = (-1, -1) if flavor == "keras" else example.shape[1:3]
    inputs = TensorSpec(np.dtype(np.uint8), (-1, height, width, 3))
    heads = answer if isinstance(answer, dict) else {None: answer}
    outputs = [TensorSpec(values.dtype, (-1, *values.shape[1:]), name) for name, values in heads.items()]
    return ModelSignature(Schema([inputs]), Schema(outputs))


class _KerasFlavor:
    """MLflow's keras flavour writes the input example into a folder that it has not made yet (3.17.2)."""

    __name__ = "mlflow.keras"

    @staticmethod
    def save_model(path: str, **arguments: Any) -> None:
        import mlflow

        Path(path).mkdir()
        mlflow.keras.save_model(path=path, **arguments)


def _flavor_arguments(flavor: str, model: Any) -> dict[str, Any]:
    import mlflow

    if flavor == "keras":
        import keras

        keras.config.disable_interactive_logging()  # MLflow tries the input example, and Keras would print a bar
        return {"flavor": _KerasFlavor, "model": model}
    return {
        "flavor": mlflow.sklearn,
        "sk_model": model,
        "serialization_format": "skops",
        "skops_trusted_types": _TRUSTED_TYPES,
        "pyfunc_predict_fn": "predict_proba",
    }


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
