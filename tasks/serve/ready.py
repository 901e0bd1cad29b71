"""A model with all that a page shows of it."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.grad_cam import grad_cam
from tasks.heat_map import Map
from tasks.images import Pixels
from tasks.network import UnfoldedNetwork, unfold
from tasks.sample import FILE, read_sample
from tasks.tracking import AboutModel, ServedModel


@dataclass(frozen=True)
class ReadyModel:
    """A model that answers.

    Attributes:
        served: the model itself.
        about: whose it is, its metrics, its card.
        samples: `(n, height, width, 3)` test images that it was evaluated on; none where none were kept.
        network: for Grad-CAM; None where there is none.
        why_no_evidence: why there is none, in a sentence; else empty.
    """

    served: ServedModel
    about: AboutModel
    samples: Pixels
    network: UnfoldedNetwork | None
    why_no_evidence: str

    def evidence(self, pixels: Pixels, probabilities: npt.NDArray[np.floating]) -> Map | None:
        """`(n, rows, columns)` in 0..1: Grad-CAM of each image's most probable class, or None.

        Args:
            pixels: `(n, height, width, 3)` at the model's size.
            probabilities: `(n, classes)`.
        """
        if self.network is None:
            return None
        return grad_cam(self.network, pixels, [int(best) for best in probabilities.argmax(axis=1)])


def open_ready(uri: str) -> ReadyModel:
    """The model of a URI that `tracking.find_model` gave.

    Raises:
        ConfigurationError: there is no such model, or it is none of Darkroom's.
        DarkroomError: its files are not safe to load, or broken.
    """
    served, about = tracking.open_model(uri), tracking.find_about(uri)
    network, why_not = _unfold(served.model)
    return ReadyModel(served, about, _read_samples(about.run_id, served.image_size), network, why_not)


def _unfold(model: Any) -> tuple[UnfoldedNetwork | None, str]:
    if hasattr(model, "predict_proba"):
        return None, "No Grad-CAM: it needs a network, and this model is a support vector machine on the pixels."
    try:
        network = unfold(model)
    except ValueError:
        return None, "No Grad-CAM: the graph of this network is not known."
    if not network.convolutions or network.head is None:
        lacking = "convolution layers" if not network.convolutions else "class head"
        return None, f"No Grad-CAM: this network has no {lacking}."
    return network, ""


def _read_samples(run_id: str | None, image_size: tuple[int, int]) -> Pixels:
    """None where the run is unknown, or its evaluation was logged by an earlier version."""
    nothing = np.zeros((0, *image_size, 3), np.uint8)
    if run_id is None:
        return nothing
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        try:
            return read_sample(tracking.fetch_file(run_id, f"evaluation/{FILE}", Path(temporary))).pixels
        except (DarkroomError, OSError, ValueError, KeyError):
            return nothing
