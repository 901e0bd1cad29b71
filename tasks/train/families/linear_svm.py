"""Support vector machine with a linear kernel on the flattened pixels (recipe R7b)."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

SMALLEST: dict[str, Any] = {}


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,  # noqa: ARG001 - every family takes it; here the labels tell
    *,
    c: Annotated[float, Field(gt=0)] = 1.0,
) -> Any:
    """A scikit-learn pipeline from raw pixels to probabilities: flatten, standardise, SVM, calibration.

    Probabilities come from temperature scaling of the decision function on three held-out folds of the training images
    (Guo et al., On Calibration of Modern Neural Networks, 2017), which keeps the machine's ranking of the classes.

    Args:
        input_shape: height, width, 3; the only size that the pipeline takes.
        num_outputs: number of classes.
        c: the penalty of margin violations, scikit-learn's `C`.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC

    # numpy's own function, and not one of ours, so that the saved pipeline loads without code of this project.
    flatten = FunctionTransformer(np.reshape, kw_args={"shape": (-1, int(np.prod(input_shape)))})
    machine = SVC(kernel="linear", C=c)
    return make_pipeline(
        flatten, StandardScaler(), CalibratedClassifierCV(machine, method="temperature", cv=3, ensemble=False)
    )
