"""Activations of one image as a picture: a row for each layer, its most active channels beside each other."""

from collections.abc import Sequence
from pathlib import Path

from tasks import picture_style
from tasks.explain.activations import CHANNELS, Activations
from tasks.explain.canvas import SMALL, Canvas, fitted, stretched
from tasks.explain.colours import activation_colours
from tasks.explain.samples import Sample

_TILE, _GAP, _NAME, _SAMPLE = 0.62, 0.06, 1.75, 1.5  # inches


@picture_style.styled()
def draw_activations(sample: Sample, layers: Sequence[Activations], of_layers: int, path: Path, title: str) -> None:
    """Draw the image, and below it every layer's maps, the most active first.

    Args:
        sample: the image.
        layers: what its layers answer, in their order.
        of_layers: convolution layers that the network has; the title says so where not all are drawn.
        path: PNG to write.
        title: names the model.
    """
    heights = [fitted(answer.maps.shape, _TILE)[0] for answer in layers]
    image = fitted(sample.pixels.shape, _SAMPLE)
    canvas = Canvas(_NAME + CHANNELS * (_TILE + _GAP), image[0] + 0.2 + sum(heights) + len(heights) * _GAP)
    canvas.title(f"{title}: what convolution layers answer to a test image ({sample.words})")
    canvas.tile(sample.pixels, _NAME, 0, image)
    _explain(canvas, _NAME + image[1] + 0.2, len(layers), of_layers)
    top = image[0] + 0.2
    for answer, height in zip(layers, heights, strict=True):
        _draw_row(canvas, answer, top)
        top += height + _GAP
    canvas.save(path)


def _explain(canvas: Canvas, left: float, drawn: int, of_layers: int) -> None:
    spread = f"{drawn} of its {of_layers} convolution layers, spread over the depth" if drawn < of_layers else ""
    lines = [
        spread or f"all {of_layers} convolution layers" if of_layers > 1 else "its only convolution layer",
        f"one row a layer, up to {CHANNELS} of its channels, the most active first",
        "each map from its least value, white, to its largest, dark",
    ]
    for place, line in enumerate(lines):
        canvas.write(left, 0.2 + 0.2 * place, line, canvas.width - left)


def _draw_row(canvas: Canvas, answer: Activations, top: float) -> None:
    height, width = fitted(answer.maps.shape, _TILE)
    canvas.write(0, top + height / 2 - 0.02, answer.layer, _NAME - 0.1, size=SMALL)
    canvas.write(0, top + height / 2 + 0.13, answer.size, _NAME - 0.1, size=SMALL)
    colours = activation_colours()
    for place in range(len(answer.channels)):
        values = stretched(answer.maps[:, :, place])
        canvas.tile(values, _NAME + place * (_TILE + _GAP), top, (height, width), colours)
