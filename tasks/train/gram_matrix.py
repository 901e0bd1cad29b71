"""Fit a linear support vector machine on the Gram matrix of its images.

libsvm takes the product of every pair of images by itself, and again in every fold of the calibration and for every
prediction. One matrix product gives all of them, and the machine that comes out has the same coefficients.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def fit_on_gram_matrix(pipeline: Any, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> None:
    """Fit in place; what comes out is as if scikit-learn's own `fit` had been called, but for its support vectors.

    Args:
        pipeline: transformers, then a `CalibratedClassifierCV` (`ensemble=False`) of an `SVC` with a linear kernel.
        pixels: `(n, height, width, 3)` in 0..255.
        labels: `(n,)`.
    """
    features = pipeline[:-1].fit_transform(pixels)
    calibrated = pipeline[-1]
    calibrated.estimator.set_params(kernel="precomputed")
    calibrated.fit(features @ features.T, labels)
    machine = calibrated.calibrated_classifiers_[0].estimator
    for one in (calibrated.estimator, machine):
        one.set_params(kernel="linear")
    for one in (calibrated, machine):
        one.n_features_in_ = features.shape[1]
    machine.shape_fit_, machine.support_vectors_ = features.shape, features[machine.support_]
    _merge_support_vectors(machine)


def _merge_support_vectors(machine: Any) -> None:
    """One vector for each pair of classes, its coefficients, in place of all support vectors: the same decisions.

    The model's size then no longer hangs on the number of images. The weight of the pair i < j stands with the vectors
    of class i, in row j - 1 (libsvm's README, `sv_coef`).
    """
    vectors, classes = machine.coef_, len(machine.classes_)
    first, second = np.triu_indices(classes, 1)
    pairs = np.arange(len(vectors), dtype=np.int32)
    machine.support_, machine.support_vectors_ = pairs, np.array(vectors)
    machine._n_support = np.bincount(first, minlength=classes).astype(np.int32)
    machine.dual_coef_ = np.zeros((classes - 1, len(pairs)))
    machine.dual_coef_[second - 1, pairs] = 1
    machine._dual_coef_ = -machine.dual_coef_ if classes == 2 else machine.dual_coef_  # as SVC.fit leaves them
