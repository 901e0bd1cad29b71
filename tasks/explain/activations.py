"""What convolution layers answer to images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.images import Pixels
from tasks.network import Call, UnfoldedNetwork

CHANNELS = 16


@dataclass(frozen=True)
class Activations:
    """Of one layer and one image.

    Attributes:
        layer: its name.
        size: of the whole output, as `32×32×64`.
        channels: numbers of those kept, the most active first.
        maps: `(rows, columns, channels kept)` float32.
    """

    layer: str
    size: str
    channels: tuple[int, ...]
    maps: npt.NDArray[np.float32]


def activations(network: UnfoldedNetwork, layers: Sequence[Call], pixels: Pixels) -> list[list[Activations]]:
    """For each image, for each layer, its most active channels.

    Args:
        network: that holds the layers.
        layers: calls of it that give maps.
        pixels: `(n, height, width, 3)` in 0..255.
    """
    answers = network.model([call.output for call in layers])(pixels.astype(np.float32), training=False)
    outputs = [np.asarray(answer, np.float32) for answer in (answers if isinstance(answers, list) else [answers])]
    return [
        [_most_active(call, output[image]) for call, output in zip(layers, outputs, strict=True)]
        for image in range(len(pixels))
    ]


def _most_active(call: Call, output: npt.NDArray[np.float32]) -> Activations:
    """By the mean of the positive values: the others a ReLU behind the layer, where it has none itself, would drop."""
    strength = np.maximum(output, 0).mean(axis=(0, 1))
    channels = np.argsort(-strength, kind="stable")[:CHANNELS]
    return Activations(call.layer.name, call.size, tuple(map(int, channels)), output[:, :, channels])
