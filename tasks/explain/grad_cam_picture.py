"""Grad-CAM as a picture: each image beside itself in grey with the evidence laid on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks import picture_style
from tasks.explain.canvas import SMALL, Canvas, fitted
from tasks.explain.samples import Sample
from tasks.heat_map import Map, enlarged, laid_on
from tasks.picture_style import RIGHT, WRONG

_TILE, _INNER, _GAP, _CAPTION, _HEADING = 1.3, 0.05, 0.25, 0.4, 0.34  # inches
_COLUMNS = 4
_LEAST_WIDTH = 1.7  # inches of a caption
_HALF = 0.5

Group = tuple[str, Sequence[Sample], Map]


@picture_style.styled()
def draw_grad_cam(groups: Sequence[Group], layer: str, path: Path, title: str) -> None:
    """Draw groups of images; without images a group says so.

    Args:
        groups: heading, samples, and their maps `(n, rows, columns)` in 0..1.
        layer: name and size of the feature map.
        path: PNG to write.
        title: names the model.
    """
    sizes = [sample.pixels.shape for _, samples, _ in groups for sample in samples]
    tile = fitted(sizes[0], _TILE) if sizes else (_TILE, _TILE)
    pair = (tile[0] + _CAPTION + _GAP, max(2 * tile[1] + _INNER, _LEAST_WIDTH) + _GAP)
    heights = [_HEADING + max(-(-len(samples) // _COLUMNS) * pair[0], _CAPTION) for _, samples, _ in groups]
    most = max((min(len(samples), _COLUMNS) for _, samples, _ in groups), default=1)
    canvas = Canvas(most * pair[1] - _GAP, sum(heights))
    canvas.title(
        f"{title}: where the evidence for the predicted class lies (Grad-CAM of {layer}); dark: most of it, "
        "line: half of the most"
    )
    top = 0.0
    for (heading, samples, maps), height in zip(groups, heights, strict=True):
        canvas.write(0, top + 0.18, heading if len(samples) else f"{heading}: none", canvas.width, weight="bold")
        for place, (sample, evidence) in enumerate(zip(samples, maps, strict=True)):
            line, column = divmod(place, _COLUMNS)
            _draw_pair(canvas, sample, evidence, (column * pair[1], top + _HEADING + line * pair[0]), tile)
        top += height
    canvas.save(path)


def _draw_pair(
    canvas: Canvas, sample: Sample, evidence: Map, corner: tuple[float, float], tile: tuple[float, float]
) -> None:
    (left, top), (height, width) = corner, tile
    room = max(2 * width + _INNER, _LEAST_WIDTH)
    fine = enlarged(evidence, sample.pixels.shape[:2])
    canvas.tile(sample.pixels, left, top, tile)
    canvas.tile(laid_on(sample.pixels, fine), left + width + _INNER, top, tile)
    _draw_line(canvas, fine, left + width + _INNER, top, tile)
    canvas.write(left, top + height + 0.15, f"true {sample.true}", room, " →", size=SMALL, color=RIGHT)
    sure = f", {sample.how_sure}" if evidence.any() else f", {sample.how_sure}: nothing"
    colour = RIGHT if sample.right else WRONG
    canvas.write(left, top + height + 0.31, sample.predicted, room, sure, size=SMALL, color=colour)


def _draw_line(canvas: Canvas, fine: Map, left: float, top: float, tile: tuple[float, float]) -> None:
    """The line of half the most, white about black, so that the place is seen in print without colours too."""
    if fine.max() <= _HALF or fine.min() >= _HALF:
        return
    rows, columns = fine.shape
    x = left + (np.arange(columns) + 0.5) * tile[1] / columns
    y = top + (np.arange(rows) + 0.5) * tile[0] / rows
    for colour, points in (("white", 2.2), (picture_style.INK, 0.9)):
        canvas.axes.contour(x, y, fine, levels=[_HALF], colors=[colour], linewidths=[points])
