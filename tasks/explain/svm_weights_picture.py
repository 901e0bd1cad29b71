"""The weights of a linear machine as a picture: red speaks for a class, blue against it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks import picture_style
from tasks.explain.canvas import SMALL, Canvas, fitted
from tasks.explain.colours import signed_colours
from tasks.explain.svm_weights import Weights, is_grey
from tasks.picture_style import TEXT_SIZE

_TILE, _INNER, _GAP, _CAPTION, _BAR = 1.15, 0.05, 0.22, 0.24, 0.14  # inches
_WIDEST = 11.3
_LINES = 10  # of classes at most, so that the picture can be looked at
_EXTREMES = 0.995  # of the weights the largest few would leave the others pale
_COLOURS = ("R", "G", "B")


@picture_style.styled()
def draw_weights(weights: Weights, class_names: Sequence[str], path: Path, title: str) -> None:
    """Draw one image for each class, or one for two classes, all on one scale; three where colours' weights differ.

    Args:
        weights: of `svm_weights.weight_images`.
        class_names: in label order.
        path: PNG to write.
        title: names the model.
    """
    planes = [weights[..., 0]] if is_grey(weights) else [weights[..., colour] for colour in range(3)]
    names = [f"{class_names[1]} (red) or {class_names[0]} (blue)"] if len(weights) == 1 else list(class_names)
    most = float(np.quantile(np.abs(weights), _EXTREMES)) or 1.0
    height, width = fitted(weights.shape[1:], _TILE)
    group = len(planes) * (width + _INNER) - _INNER + _GAP
    columns = max(min(int((_WIDEST + _GAP) // group), len(names)), 1)
    shown = names[: _LINES * columns]
    row = height + _CAPTION + _GAP + (0.1 if len(planes) == 3 else 0)
    canvas = Canvas(columns * group - _GAP, -(-len(shown) // columns) * row + 0.45)
    canvas.title(_title(title, len(shown), len(names), len(planes)))
    for place, name in enumerate(shown):
        line, column = divmod(place, columns)
        left, top = column * group, 0.05 + line * row
        room = group - _GAP if len(names) > 1 else canvas.width
        canvas.write(left, top + 0.14, name, room, size=SMALL)
        for number, plane in enumerate(planes):
            corner = left + number * (width + _INNER)
            canvas.tile(plane[place], corner, top + _CAPTION, (height, width), signed_colours(), (-most, most))
            if len(planes) == 3:
                canvas.write(corner, top + _CAPTION + height + 0.14, _COLOURS[number], width, size=SMALL)
    _draw_scale(canvas, -(-len(shown) // columns) * row + 0.1, most)
    canvas.save(path)


def _title(title: str, shown: int, classes: int, planes: int) -> str:
    which = "one class, blue for the other" if classes == 1 else "the class, blue against it"
    words = f"{title}: weights of the pixels{' in R, G and B' * (planes == 3)}; red speaks for {which}"
    return f"{words}; the first {shown} of {classes} classes" if shown < classes else words


def _draw_scale(canvas: Canvas, top: float, most: float) -> None:
    """A bar of the colours with its ends and zero written below."""
    width = 2.4
    canvas.tile(np.linspace(-1, 1, 201)[None], 0, top, (_BAR, width), signed_colours(), (-1, 1))
    for share, align in ((-1, "left"), (0, "center"), (1, "right")):
        place, text = (share + 1) / 2 * width, f"{share * most:.2g}".replace("-", "−")
        canvas.write(place, top + _BAR + 0.15, text, width, size=SMALL, ha=align)
    unit = "score for one standard deviation of a pixel"
    canvas.write(width + 0.12, top + 0.11, unit, canvas.width - width, size=TEXT_SIZE)
