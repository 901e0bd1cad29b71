"""What excites filters most, as a picture: a block for each layer."""

from collections.abc import Sequence
from pathlib import Path

from tasks import picture_style
from tasks.explain.canvas import SMALL, Canvas, fitted
from tasks.explain.filters import FilterImages

_TILE, _GAP, _CAPTION, _HEADING = 1.15, 0.1, 0.18, 0.3  # inches
_COLUMNS = 8
_SILENT = 1.5  # grey levels: the noise of the beginning has some 0.7, and no slope led on from it


@picture_style.styled()
def draw_filters(layers: Sequence[FilterImages], of_layers: int, path: Path, title: str) -> None:
    """Draw each layer's images, named by the filter's number.

    Args:
        layers: at least one.
        of_layers: convolution layers that the network has.
        path: PNG to write.
        title: names the model.
    """
    tile = fitted(layers[0].images.shape[1:], _TILE)
    row = tile[0] + _CAPTION + _GAP
    lines = [-(-len(layer.filters) // _COLUMNS) for layer in layers]
    canvas = Canvas(_COLUMNS * (tile[1] + _GAP) - _GAP, sum(lines) * row + len(layers) * _HEADING)
    all_of_them = len(layers) == of_layers
    which = "" if all_of_them else f"; {len(layers)} of {of_layers} convolution layers, spread over the depth"
    canvas.title(f"{title}: images that excite filters most, by gradient ascent from grey noise{which}")
    top = 0.0
    for layer, of_layer in zip(layers, lines, strict=True):
        _draw_layer(canvas, layer, top, tile)
        top += _HEADING + of_layer * row
    canvas.save(path)


def _draw_layer(canvas: Canvas, layer: FilterImages, top: float, tile: tuple[float, float]) -> None:
    *_, channels = layer.size.split("×")
    which = f"{len(layer.filters)} of {channels} filters" if len(layer.filters) < int(channels) else "all its filters"
    heading = f"{layer.layer} ({layer.size}): {which}, {layer.steps} steps"
    canvas.write(0, top + 0.18, heading, canvas.width, weight="bold")
    for place, (number, image) in enumerate(zip(layer.filters, layer.images, strict=True)):
        line, column = divmod(place, _COLUMNS)
        left, upper = column * (tile[1] + _GAP), top + _HEADING + line * (tile[0] + _CAPTION + _GAP)
        canvas.tile(image, left, upper, tile)
        words = f"{number}, silent" if image.std() < _SILENT else f"{number}"
        canvas.write(left, upper + tile[0] + 0.14, words, tile[1], size=SMALL)
