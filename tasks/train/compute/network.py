"""The network that is trained, made from the one that is saved, and its weights brought back."""

from dataclasses import replace
from typing import Any

from tasks.train.compute.activation import COMPILED, compiled
from tasks.train.compute.batch_normalization import fused_batch_normalization
from tasks.train.compute.policy import Policy
from tasks.train.compute.resizing import sparing
from tasks.train.compute.small_maps import is_for, small_map_convolution
from tasks.train.freezing import find_backbone, keep_in_inference_mode
from tasks.train.layer_graph.calls import is_model, layers_of

# Only what works on feature maps. Dense layers, poolings to a vector, losses and the softmax stay in float32: they cost
# little, and their rounding would be seen.
_IN_BFLOAT16 = {
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "BatchNormalization", "Activation", "ReLU", "LeakyReLU"),
    *("MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Add", "Multiply", "Concatenate", "Dropout"),
}


def for_training(network: Any, policy: Policy) -> Any:
    """A copy of a network to be trained as the policy says; the network itself where that is how it is.

    A network for several devices is to be made where `devices.mirrored` says which.

    Args:
        network: a Keras model of standard layers, in float32.
        policy: of its computation.

    Returns:
        A Keras model with weights of its own, equal and in the same order: `take_weights` brings them back.
    """
    import keras

    if policy.devices == 1 and not any(_is_changed(layer, policy) for layer in layers_of(network)):
        return network
    # A kernel that is set once and not trained, as a whitening's, stays exact: it tells nearly equal numbers apart.
    exact = [layer for layer in network.layers if not getattr(layer, "kernel", layer).trainable]

    def copy(layer: Any) -> Any:
        return _copy(layer, replace(policy, dtype="float32") if layer in exact else policy)

    copied = keras.models.clone_model(network, clone_function=copy, recursive=True)
    copied.set_weights(network.get_weights())
    for weight, original in zip(copied.weights, network.weights, strict=True):  # a layer's settings do not say it
        weight.trainable = original.trainable
    if any(map(is_model, copied.layers)):
        keep_in_inference_mode(find_backbone(copied))
    if hasattr(network, "box_weight"):
        copied.box_weight = network.box_weight
    return copied


def take_weights(network: Any, trained: Any) -> None:
    """Give the network that is saved the weights of its copy after the training."""
    if trained is not network:
        network.set_weights(trained.get_weights())


def _is_changed(layer: Any, policy: Policy) -> bool:
    by_policy = (_in_bfloat16, _is_fused, _has_own_gradient)
    return _is_compiled(layer) or any(changes(layer, policy) for changes in by_policy)


def _is_fused(layer: Any, policy: Policy) -> bool:
    return policy.fused_batch_normalization and _can_be_fused(layer)


def _can_be_fused(layer: Any) -> bool:
    """Whether it is a batch normalisation over the channels of a feature map."""
    return type(layer).__name__ == "BatchNormalization" and _makes_maps(layer) and layer.axis in (-1, 3)


def _has_own_gradient(layer: Any, policy: Policy) -> bool:
    return policy.convolved_gradients and is_for(layer)


def _is_compiled(layer: Any) -> bool:
    """Whether it is an activation, by itself, that one loop over a feature map computes faster than Keras."""
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    return type(layer).__name__ == "Activation" and name in COMPILED and _makes_maps(layer)


def _in_bfloat16(layer: Any, policy: Policy) -> bool:
    if policy.dtype != "bfloat16" or type(layer).__name__ not in _IN_BFLOAT16 or not _makes_maps(layer):
        return False
    return getattr(getattr(layer, "activation", None), "__name__", None) != "softmax"


def _makes_maps(layer: Any) -> bool:
    """Whether the output is `(batch, rows, columns, channels)`."""
    return len(getattr(layer.output, "shape", ())) == 4


def _copy(layer: Any, policy: Policy) -> Any:
    """A layer or operation with the same settings; a network's clone has its weights set afterwards."""
    config = layer.get_config()
    if _in_bfloat16(layer, policy):
        config["dtype"] = "mixed_bfloat16"
    if policy.devices > 1 and type(layer).__name__ == "BatchNormalization":
        config["synchronized"] = True  # statistics of the whole batch, as on one device, which the fused kernel has not
    if _is_compiled(layer):
        return type(layer)(**{**config, "activation": compiled(config["activation"])})
    return _kind(layer, policy).from_config(config)


def _kind(layer: Any, policy: Policy) -> Any:
    """Of the copy."""
    if _is_fused(layer, policy):
        return fused_batch_normalization()
    if _has_own_gradient(layer, policy):
        return small_map_convolution()
    return sparing(type(layer)) if type(layer).__name__ == "Resize" else type(layer)
