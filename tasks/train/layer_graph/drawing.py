"""A drawing of a network's layers, from its input to its output."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import picture_style
from tasks.picture_style import FAINT, FIRST, INK, POINTS_PER_INCH, TEXT_SIZE, TITLE_SIZE
from tasks.train.description import describe_network
from tasks.train.layer_graph.boxes import boxes_of
from tasks.train.layer_graph.layout import LINE, PADDING, SIZE, Page, Placed, Point, lay_out
from tasks.train.layer_graph.table import rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FROZEN = "#d6e6f5"
_LINE_COLOUR = "#7c8591"
_LEGEND = (("trained", FIRST), ("frozen", _FROZEN), ("no weights", "white"))
_MARGIN = 14.0
_LEAST_WIDTH = 420.0  # of the page, in points, for title and legend


@picture_style.styled()
def draw_layers(model: Any, title: str, path: Path) -> None:
    """Draw a Keras model as boxes with kind, output size and number of parameters.

    Branches stand side by side; a long chain goes on in the next column; a nested model is one box. What is frozen is
    pale, and the part of a nested model that is trained is filled.

    Args:
        model: as it is frozen now.
        title: stands above, over a line with the network's figures.
        path: PNG to write.

    Raises:
        ValueError: its graph is not known, see `calls.calls_of`.
    """
    from matplotlib.figure import Figure

    figures = _figures(model)
    page = lay_out(boxes_of(rows_of(model)))
    width = max(page.width, _LEAST_WIDTH)
    heading = [*_wrapped(title, TITLE_SIZE, width), figures]
    above = LINE * len(heading) * 1.25 + _MARGIN * 1.5
    height = above + page.height + 2 * _MARGIN + LINE
    figure = Figure(figsize=((width + 2) / POINTS_PER_INCH, height / POINTS_PER_INCH))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-1, width + 1), ylim=(height - above, -above))
    ax.set_axis_off()
    _draw_heading(ax, heading, -above)
    _draw_page(ax, page)
    _draw_legend(ax, page.height + _MARGIN * 1.6)
    picture_style.save(figure, path)


def _wrapped(text: str, size: float, width: float) -> list[str]:
    return picture_style.wrap(text, size, width).splitlines() or [""]


def _figures(model: Any) -> str:
    network = describe_network(model)
    if network is None:
        raise ValueError(f"expected a Keras model to draw; received {model!r}")
    trained = network.trainable_parameters
    counted = f"{network.layers} convolutions and dense layers, {network.parameters:,} parameters"
    return f"{counted}, all trained" if trained == network.parameters else f"{counted}, {trained:,} of them trained"


def _draw_heading(ax: "Axes", lines: list[str], top: float) -> None:
    for number, text in enumerate(lines):
        size = TEXT_SIZE if text is lines[-1] else TITLE_SIZE
        ax.text(0, top + LINE * 1.25 * (number + 0.5), text, fontsize=size, va="center")


def _draw_page(ax: "Axes", page: Page) -> None:
    for points, arrow in page.lines:
        _draw_line(ax, points, arrow)
    for placed in page.boxes:
        _draw_box(ax, placed)


def _draw_line(ax: "Axes", points: list[Point], arrow: bool) -> None:
    across, down = zip(*points, strict=True)
    ax.plot(across, down, color=_LINE_COLOUR, linewidth=1, solid_capstyle="round", clip_on=False, zorder=1)
    if arrow:
        ax.plot(across[-1], down[-1] - 2.5, marker="v", color=_LINE_COLOUR, markersize=4, clip_on=False, zorder=1)


def _draw_box(ax: "Axes", placed: Placed) -> None:
    from matplotlib.patches import Rectangle

    share = placed.box.trained
    corner = (placed.left, placed.top)
    fill = "white" if share is None else _FROZEN
    edge = FAINT if share is None else FIRST
    ax.add_patch(Rectangle(corner, placed.width, placed.height, facecolor=fill, edgecolor="none", zorder=2))
    if share:
        _draw_trained(ax, placed, share)
    ax.add_patch(Rectangle(corner, placed.width, placed.height, fill=False, edgecolor=edge, linewidth=0.8, zorder=4))
    for number, text in enumerate(placed.box.lines):
        down = placed.top + PADDING + LINE * (number + 0.5)
        weight = "bold" if share is not None and number == 0 else "normal"
        colour = "white" if share == 1 else INK
        middle = placed.left + placed.width / 2
        ax.text(middle, down, text, fontsize=SIZE, color=colour, weight=weight, ha="center", va="center", zorder=5)


def _draw_trained(ax: "Axes", placed: Placed, share: float) -> None:
    """The whole box, or a strip below its text: of a nested model the last layers are those that are trained."""
    from matplotlib.patches import Rectangle

    height = placed.height if share == 1 else PADDING
    corner = (placed.left + placed.width * (1 - share), placed.top + placed.height - height)
    ax.add_patch(Rectangle(corner, placed.width * share, height, facecolor=FIRST, edgecolor="none", zorder=3))


def _draw_legend(ax: "Axes", top: float) -> None:
    from matplotlib.patches import Rectangle

    left = 0.0
    for name, colour in _LEGEND:
        edge = FAINT if colour == "white" else FIRST
        ax.add_patch(Rectangle((left, top), 10, 10, facecolor=colour, edgecolor=edge, linewidth=0.8, clip_on=False))
        ax.text(left + 15, top + 5, name, va="center")
        left += picture_style.text_width(name, TEXT_SIZE) + 32
    ax.text(left, top + 5, "below the kind: output size · parameters", va="center")
