"""Support vector machine with a linear kernel on the flattened pixels (recipe R7b)."""

import math
from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline_config.errors import ConfigurationError
from tasks.train.gram_matrix import fit_on_gram_matrix
from tasks.train.machine_cost import Cost, estimate, measure_speed

SMALLEST: dict[str, Any] = {}

_MOST_SECONDS = 600
_MOST_OF_MEMORY = 0.5  # of what is available
_CLEARLY_LESS = 0.7  # of what is estimated


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,  # noqa: ARG001 - every family takes it; here the labels tell
    *,
    c: Annotated[float, Field(gt=0)] = 1.0,
    components: Annotated[int | None, Field(ge=1)] = None,
) -> Any:
    """A scikit-learn pipeline from raw pixels to probabilities: flatten, standardise, PCA if wanted, SVM, calibration.

    Probabilities come from temperature scaling of the decision function on three held-out folds of the training images
    (Guo et al., On Calibration of Modern Neural Networks, 2017), which keeps the machine's ranking of the classes.

    Args:
        input_shape: height, width, 3; the only size that the pipeline takes.
        num_outputs: number of classes.
        c: the penalty of margin violations, scikit-learn's `C`; with components, of images whose mean squared length is
            at most one: the solver would hardly end on longer ones that no plane parts, as few components make them.
        components: principal components that the machine sees in place of the pixels, not whitened (randomized PCA,
            Halko, Martinsson and Tropp 2011, seeded by `train.seed`); null: all pixels.

    Raises:
        ConfigurationError: more components than pixels; when fitted, more components than images.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC

    # numpy's own function, and not one of ours, so that the saved pipeline loads without code of this project.
    flatten = FunctionTransformer(np.reshape, kw_args={"shape": (-1, math.prod(input_shape))})
    # As if the components were divided by the root of the number of pixels, which have unit variance each.
    penalty = c if components is None else c / math.prod(input_shape)
    machine = CalibratedClassifierCV(SVC(kernel="linear", C=penalty), method="temperature", cv=3, ensemble=False)
    pipeline = make_pipeline(flatten, StandardScaler(), *_reduction(components, input_shape), machine)
    # Of this object, until it is fitted, and not of a class of ours, for the same reason.
    pipeline.fit = partial(_fit, pipeline, components)
    return pipeline


def _reduction(components: int | None, input_shape: tuple[int, int, int]) -> list[Any]:
    """The step before the machine, or none."""
    from sklearn.decomposition import PCA

    if components is None:
        return []
    _check_components(components, math.prod(input_shape), "pixels of an image times three colours")
    seed = int(np.random.randint(2**31))  # `build_model` has seeded this generator with train.seed
    return [PCA(components, svd_solver="randomized", random_state=seed)]


def _check_components(components: int | None, most: int, of: str) -> None:
    if components and components > most:
        raise ConfigurationError(
            f"params.components: expected at most {most:,}, the number of {of}; received {components:,}; give fewer, "
            "or none"
        )


def _fit(pipeline: Any, components: int | None, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Any:
    """Takes the place of the pipeline's own `fit`, once."""
    _check_components(components, len(pixels), "images to train with")
    fit_on_gram_matrix(pipeline, pixels, labels)
    del pipeline.fit
    return pipeline


def cost_warning(
    images: int,
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    components: int | None,
    **_without_influence: Any,
) -> str | None:
    """Say before fitting that it will take long, or more memory than is wise; measures the machine's speed shortly.

    Args:
        images: to train with.
        input_shape: height, width, 3.
        num_outputs: number of classes.
        components: as of `build`, whose other parameters change neither time nor memory much.

    Returns:
        A sentence with the estimate and what would lower it, where that is above ten minutes or half of the memory that
        is available.

    Raises:
        ConfigurationError: more components than images.
    """
    import psutil

    _check_components(components, images, "images to train with")
    pixels, available = math.prod(input_shape), psutil.virtual_memory().available
    cost = partial(estimate, classes=num_outputs, speed=measure_speed())
    now = cost(images, pixels, components)
    over = [now.seconds > _MOST_SECONDS, now.bytes > _MOST_OF_MEMORY * available]
    if not any(over):
        return None
    mends = {
        f"dataset.image_size={input_shape[0] // 2}": cost(images, pixels // 4, components),
        "fewer dataset.images_per_class": cost(images // 2, pixels, components),
        "params.components=100": cost(images, pixels, min(components or 100, 100)),
    }
    helpful = [mend for mend, then in mends.items() if _helps(now, then, over)]
    return (
        f"fitting to {images:,} images of {pixels:,} values takes an estimated {now.seconds / 60:,.0f} minutes and "
        f"{now.bytes / 1e9:,.1f} GB of memory, of which {available / 1e9:,.1f} GB are available; it takes less with "
        + " or ".join(helpful)
    )


def _helps(now: Cost, then: Cost, over: list[bool]) -> bool:
    """Whether all that is too much becomes clearly less."""
    lowered = [then.seconds < _CLEARLY_LESS * now.seconds, then.bytes < _CLEARLY_LESS * now.bytes]
    return all(less for less, much in zip(lowered, over, strict=True) if much)
