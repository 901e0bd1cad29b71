"""Whether a registered model answers, in a process that knows nothing but its URI, as its evaluation says it did."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks import predictions, tracking
from tasks.prediction import predict_heads
from tasks.processes import WorkFailed, ended_with_block, run_isolated
from tasks.records import Gate
from tasks.sample import FILE, Sample, read_sample

TOLERANCE = 1e-4
"""Of a probability, or of a box's fraction: what other batches and other processors round differently."""


def servable_gate(model_uri: str, run_id: str) -> Gate:
    """A process of its own loads the model by its URI, without running code that it might carry, and is given images.

    Args:
        model_uri: of the registered version, or of the logged model.
        run_id: of the train run, whose evaluation holds the images and the predictions.
    """
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        folder = Path(temporary)
        try:
            logged = _fetch_logged(run_id, folder)
            with ended_with_block():
                difference, images = run_isolated(
                    answer_again, (model_uri, *logged, folder / "model"), _hear_nothing, folder / "log"
                )
        except WorkFailed as error:
            return Gate("servable", False, f"{model_uri} cannot be loaded and asked: {error}")
        except DarkroomError as error:
            return Gate("servable", False, f"{model_uri} cannot be proved: {error}")
    return _judge(model_uri, difference, images)


def _judge(model_uri: str, difference: float, images: int) -> Gate:
    passed = difference <= TOLERANCE  # which NaN is not
    told = f"for {images} test images its answers differ from those logged by at most {difference:.2g}"
    wanted = "" if passed else f"; expected at most {TOLERANCE:g}: its files are not those that were evaluated"
    return Gate("servable", passed, f"{model_uri} was loaded in a process of its own; {told}{wanted}")


def _fetch_logged(run_id: str, folder: Path) -> tuple[Path, Path]:
    """Files of the sample and of the predictions.

    Raises:
        DarkroomError: one of them is gone, or was never logged.
    """
    try:
        sample = tracking.fetch_file(run_id, f"evaluation/{FILE}", folder)
    except DarkroomError:
        raise DarkroomError(
            f"run {run_id}: expected test images in its evaluation/{FILE}; it has none; evaluate it again with "
            f"`darkroom evaluate {run_id}`"
        ) from None
    return sample, tracking.download_predictions(run_id, folder)


def _hear_nothing(_: Any) -> None:
    """The process tells its answer alone."""


def answer_again(
    _: Callable[[Any], Any], model_uri: str, sample: Path, logged: Path, folder: Path
) -> tuple[float, int]:
    """What the process does: load the model, give it the sample.

    Returns:
        The largest difference to a logged answer, and the number of images.
    """
    tracking.open_store()
    model = tracking.load_model(tracking.fetch_model(model_uri, folder))
    return largest_difference(model, read_sample(sample), predictions.read(logged))


def largest_difference(model: Any, sample: Sample, logged: pd.DataFrame) -> tuple[float, int]:
    """The largest difference between a model's answers and those logged for the same images, and how many these are.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels.
        sample: some of the images.
        logged: predictions table that has rows for all of them.

    Raises:
        DarkroomError: an image of the sample has no row; the model has other heads or classes than the table.
    """
    missing = set(sample.image_ids) - set(logged["image_id"])
    if missing:
        raise DarkroomError(f"expected predictions for the sample's images; {len(missing)} of them have none")
    rows = logged.set_index("image_id").loc[list(sample.image_ids)].reset_index()
    answer = predict_heads(model, sample.pixels)
    expected = {
        **({"probabilities": predictions.probabilities(rows)} if predictions.has_classes(rows) else {}),
        **({"box": predictions.predicted_boxes(rows)} if predictions.has_boxes(rows) else {}),
    }
    shapes = [{head: values.shape for head, values in heads.items()} for heads in (expected, answer)]
    if shapes[0] != shapes[1]:
        raise DarkroomError(f"expected answers of the shapes {shapes[0]}, as they were logged; received {shapes[1]}")
    differences = [np.abs(expected[head] - answer[head]).max() for head in expected]
    return float(max(differences)), len(rows)
