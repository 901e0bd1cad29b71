"""Which layers of a model with a backbone are trained. The head, what stands behind the backbone, always is."""

from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Trainable
from pipeline_config.sentences import did_you_mean

_NAMED = 6


def set_trainable(model: Any, trainable: Trainable, key: str = "params.trainable") -> None:
    """Freeze the backbone's layers and unfreeze the last of them; to be compiled afterwards.

    Args:
        model: one of whose layers is the backbone, a Keras model itself.
        trainable: `none`; `all`; how many of the backbone's last layers, poolings and the like included; or the name of
            the first of them, or of its block, as `block4_conv1` or `conv5_block1`.
        key: where the experiment file says so, for the message.

    Raises:
        ConfigurationError: the backbone has no such layer, or not so many.
    """
    layers = find_backbone(model).layers
    first = _first_trained([layer.name for layer in layers], trainable, key)
    for position, layer in enumerate(layers):
        layer.trainable = position >= first


def keep_in_inference_mode(backbone: Any) -> Any:
    """The backbone, whose batch normalisation and dropout from now on are in inference mode in a training, too.

    `backbone(x, training=False)`, as Keras's guides write it, is not enough: when a model that holds it is fitted,
    Keras 3.15 calls it with training=True all the same (`operation_fn` in keras/src/models/functional.py). What is
    saved is the plain model: once loaded, it would train as any other.
    """
    call = backbone.call

    def infer(inputs: Any, mask: Any = None, **_overruled: Any) -> Any:
        return call(inputs, training=False, mask=mask)

    backbone.call = infer
    return backbone


def find_backbone(model: Any) -> Any:
    """The model's layer that is a Keras model itself."""
    import keras

    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def _first_trained(names: list[str], trainable: Trainable, key: str) -> int:
    """Position of the first layer that is trained; the number of layers where none is."""
    if trainable in ("none", "all"):
        return len(names) if trainable == "none" else 0
    if isinstance(trainable, int):
        if trainable > len(names):
            raise ConfigurationError(
                f"{key}: the backbone has {len(names)} layers; received {trainable}; write all to train every layer"
            )
        return len(names) - trainable
    found = (place for place, name in enumerate(names) if name == trainable or name.startswith(f"{trainable}_"))
    position = next(found, None)
    if position is None:
        raise ConfigurationError(
            f"{key}: expected none, all, a number of last layers, or the name of one of the backbone's {len(names)} "
            f"layers, as {', '.join(names[-_NAMED:])}; received '{trainable}'{did_you_mean(trainable, names)}"
        )
    return position
