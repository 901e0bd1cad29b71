"""The weights of a linear support vector machine as images (recipe R7b)."""

from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]


def weight_images(pipeline: Any, size: tuple[int, int]) -> Weights:
    """How much one standard deviation more of each pixel's colours speaks for a class.

    scikit-learn's machine has a plane for each pair of classes; a class's image is the mean of those that part it from
    the others, each turned so that positive speaks for it. Principal components are turned back into pixels.

    Args:
        pipeline: fitted, of the family `linear_svm`.
        size: height and width of its images.

    Returns:
        `(classes, height, width, 3)`; of two classes `(1, height, width, 3)`, positive for the second.
    """
    machine = pipeline[-1].calibrated_classifiers_[0].estimator
    planes = np.asarray(machine.coef_, np.float64)
    reduction = pipeline.named_steps.get("pca")
    if reduction is not None:
        planes = planes @ reduction.components_
    return _of_classes(planes, len(machine.classes_)).reshape(-1, *size, 3)


def _of_classes(planes: Weights, classes: int) -> Weights:
    """`(classes, values)` from the planes `(pairs, values)` in the order (0, 1), (0, 2) …, positive for the first.

    The one plane of two classes is positive for the second, and is all that there is to see.
    """
    if classes == 2:
        return planes
    sums = np.zeros((classes, planes.shape[1]))
    for plane, first, second in zip(planes, *np.triu_indices(classes, 1), strict=True):
        sums[first] += plane
        sums[second] -= plane
    return sums / (classes - 1)


def is_grey(weights: Weights) -> bool:
    """Whether the three colours have equal weights, as on grey images."""
    return bool(np.allclose(weights, weights[..., :1], rtol=1e-2, atol=1e-4 * np.abs(weights).max()))
