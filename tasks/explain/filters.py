"""The images that excite a layer's filters most, by gradient ascent from grey noise (recipe R5)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.explain import fourier
from tasks.images import Pixels
from tasks.network import Call, UnfoldedNetwork
from tasks.progress import bar

STEPS = 48
_RATE = 0.1  # of Adam; twice that of the code that fourier.py cites, for a tenth of its steps
_SEED = 0
# Of what a filter answers, what is below zero counts little: an edge filter finds as much light as dark in any image,
# so that its plain mean says nothing. It counts at all since a filter that is silent on grey has no other slope.
_LEAK = 0.1
_JITTER = 16  # images are shifted by up to this part of their sides in every step


@dataclass(frozen=True)
class FilterImages:
    """Of one layer.

    Attributes:
        layer: its name.
        size: of its output, as `32×32×64`.
        filters: their numbers.
        images: `(filters, height, width, 3)` uint8 RGB.
        before, after: `(filters,)` mean answer in place of the layer's own non-linearity a leaky ReLU's, of the first
            noise and of the last image.
        steps: of the ascent.
    """

    layer: str
    size: str
    filters: tuple[int, ...]
    images: Pixels
    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    steps: int


def exciting_images(
    network: UnfoldedNetwork, call: Call, filters: Sequence[int], most_seconds: float, steps: int = STEPS
) -> FilterImages:
    """Images in 0..255 that maximise the mean of a filter's answers, all filters in one batch.

    Args:
        network: that holds the layer.
        call: of a convolution.
        filters: numbers of its output channels.
        most_seconds: of the processor, after which no further step is made: a large network gets fewer of them, and
            what else the machine does counts nothing.
        steps: of Adam.
    """
    import keras

    size = network.image_size
    spectra = keras.Variable(fourier.noise(len(filters), size, _SEED), name="spectra")
    step = _make_step(network.model(_before_activation(call)), spectra, filters, size)
    seen = _climb(step, steps, most_seconds, call.layer.name)
    images = np.rint(fourier.to_pixels(spectra.value, size)).astype(np.uint8)
    return FilterImages(call.layer.name, call.size, tuple(filters), images, seen[0], seen[-1], len(seen))


def _climb(
    step: Callable[[np.int32], Any], steps: int, most_seconds: float, layer: str
) -> list[npt.NDArray[np.float32]]:
    """The mean activations that each step started from."""
    seen = []
    with bar(f"filters of {layer}", steps) as shown:
        for number in range(steps):
            seen.append(step(np.int32(number)).numpy())
            shown.advance()
            if number == 0:
                started = time.process_time()  # the first step is compiled, which is not counted
            elif time.process_time() - started > most_seconds:
                shown.shrink_to_done()
                break
    return seen


def _make_step(model: Any, spectra: Any, filters: Sequence[int], size: tuple[int, int]) -> Callable[[np.int32], Any]:
    """A compiled step of the ascent, which gives the mean activations `(filters,)` that it started from."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(_RATE)
    optimizer.build([spectra])
    chosen = tf.one_hot(filters, model.output_shape[-1])

    def step(number: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(spectra.value)
            images = _shifted(fourier.to_pixels(spectra, size), number, size)
            answers = model(images, training=False)
            answers = tf.maximum(answers, _LEAK * answers)
            excitement = tf.reduce_sum(tf.reduce_mean(answers, axis=(1, 2)) * chosen, axis=-1)
            loss = -tf.reduce_sum(excitement)
        optimizer.apply(tape.gradient(loss, [spectra.value]), [spectra])
        return excitement

    compiled: Callable[[np.int32], Any] = tf.function(step, autograph=False)
    return compiled


def _shifted(images: Any, number: Any, size: tuple[int, int]) -> Any:
    """Moved by a few pixels round the edges, anew in every step, so that no single pixel counts."""
    import tensorflow as tf

    far = max(min(size) // _JITTER, 1)
    by = tf.random.stateless_uniform((2,), (_SEED, number), -far, far + 1, tf.int32)
    return tf.roll(images, by, axis=(1, 2))


def _before_activation(call: Call) -> Any:
    """The convolution's output without its own non-linearity: where a ReLU is silent there is no gradient to climb."""
    layer = call.layer
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    output = linear(call.sources[0])
    linear.set_weights(layer.get_weights())
    return output
