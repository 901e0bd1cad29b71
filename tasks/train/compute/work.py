"""How much a training computes."""

import math
from typing import Any

from pipeline_config.experiment import Train
from tasks.train.layer_graph.calls import LayerCall, calls_of


def training_operations(network: Any, train: Train, images: int) -> float:
    """Floating-point operations of convolutions and dense layers over a whole training, all others left out.

    A multiplication and an addition are two; what is trained, and what lies behind it, takes its forward pass three
    times: forward, for the gradient of its inputs, for that of its weights (Kaplan et al. 2020, section 2.1). What lies
    before is computed once for each image where its results are kept from epoch to epoch.

    Args:
        network: a Keras model as it is frozen in its first stage.
        train: its epochs, over all stages.
        images: of an epoch.
    """
    epochs = train.all_epochs
    frozen, trained = operations_per_image(network)
    passes = epochs if train.augmentation or train.stages else 1
    return images * (passes * frozen + epochs * trained)


def operations_per_image(network: Any) -> tuple[float, float]:
    """Of one image's training step: of the frozen layers before all that are trained, and of the rest."""
    frozen = trained = 0.0
    for call in calls_of(network, unfold=True):
        forward = 2.0 * _multiplications(call)
        if trained or call.trained_parameters:
            trained += 3 * forward
        else:
            frozen += forward
    return frozen, trained


def _multiplications(call: LayerCall) -> int:
    """Of a kernel with what it slides over; a kernel's output places are all sides of its output but the channels."""
    kernels = (getattr(call.layer, name, None) for name in ("kernel", "depthwise_kernel", "pointwise_kernel"))
    places: int = math.prod(side or 1 for side in call.output_shape[:-1])
    return places * sum(math.prod(map(int, kernel.shape)) for kernel in kernels if kernel is not None)
