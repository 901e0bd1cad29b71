"""The folder `explain/` of a run: what its model looks at, as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import predictions
from tasks.explain.activations import activations
from tasks.explain.activations_picture import draw_activations
from tasks.explain.filters import exciting_images
from tasks.explain.filters_picture import draw_filters
from tasks.explain.grad_cam_picture import Group, draw_grad_cam
from tasks.explain.samples import ReadPixels, Sample, read_samples
from tasks.explain.svm_weights import weight_images
from tasks.explain.svm_weights_picture import draw_weights
from tasks.grad_cam import grad_cam
from tasks.network import UnfoldedNetwork, spread, unfold

_LAYERS = 16  # drawn with their activations, so that the picture stays one that can be looked at
_ASCENDED, _FILTERS = 4, 16
_ASCENT_SECONDS = 14.0  # of the processor, for each layer
_GRAD_CAMS = 8


def write_explanation(
    model: Any,
    table: pd.DataFrame,
    read_pixels: ReadPixels,
    size: tuple[int, int],
    class_names: Sequence[str],
    folder: Path,
    title: str,
) -> list[str]:
    """Write the pictures that a model of its kind has.

    Of a network `activations_right.png` and `activations_wrong.png` (where it has such test images), `filters.png` and,
    with a class head, `grad_cam.png`; of a linear support vector machine `weights.png`.

    Args:
        model: Keras model, or scikit-learn pipeline of the family `linear_svm`.
        table: its predictions of the test rows.
        read_pixels: gives the `(height, width, 3)` uint8 RGB of a test image by its `image_id`.
        size: height and width of the images that the model was trained on.
        class_names: in label order.
        folder: made if need be.
        title: names the model in the pictures.

    Returns:
        Sentences on what there is not.

    Raises:
        DataError: a test image is gone or has other pixels.
    """
    if hasattr(model, "predict_proba"):
        draw_weights(weight_images(model, size), class_names, folder / "weights.png", title)
        return []
    network = unfold(model)
    if not network.convolutions:
        return [f"{title} has no convolution layers: nothing to show of activations, filters or Grad-CAM"]
    right, wrong = (read_samples(table, read_pixels, size, is_right, _GRAD_CAMS) for is_right in (True, False))
    _write_activations(network, [*right[:1], *wrong[:1]], folder, title)
    _write_filters(network, folder, title)
    if network.head is None or not predictions.has_classes(table):
        return [f"{title} has no class head: nothing to show of Grad-CAM"]
    groups = {"Right, the surest": right, "Wrong, the surest": wrong}
    _write_grad_cam(network, groups, folder / "grad_cam.png", title)
    return [] if wrong else [f"{title} predicts every test image right: none is shown of the wrong ones"]


def _write_activations(network: UnfoldedNetwork, samples: Sequence[Sample], folder: Path, title: str) -> None:
    layers = spread(network.convolutions, _LAYERS)
    answers = activations(network, layers, np.stack([sample.pixels for sample in samples]))
    for sample, answer in zip(samples, answers, strict=True):
        path = folder / f"activations_{'right' if sample.right else 'wrong'}.png"
        draw_activations(sample, answer, len(network.convolutions), path, title)


def _write_filters(network: UnfoldedNetwork, folder: Path, title: str) -> None:
    layers = spread(network.convolutions, _ASCENDED)
    made = []
    for call in layers:
        filters = spread(range(call.output.shape[-1]), _FILTERS)
        made.append(exciting_images(network, call, filters, _ASCENT_SECONDS))
    draw_filters(made, len(network.convolutions), folder / "filters.png", title)


def _write_grad_cam(network: UnfoldedNetwork, samples: dict[str, list[Sample]], path: Path, title: str) -> None:
    last = network.last_map()
    groups = [_group(network, heading, chosen) for heading, chosen in samples.items()]
    draw_grad_cam(groups, f"{last.layer.name}, {last.size}", path, title)


def _group(network: UnfoldedNetwork, heading: str, samples: list[Sample]) -> Group:
    if not samples:
        return heading, [], np.zeros((0, 1, 1), np.float32)
    pixels = np.stack([sample.pixels for sample in samples])
    return heading, samples, grad_cam(network, pixels, [sample.label for sample in samples])
