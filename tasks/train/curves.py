"""Learning curves by epoch: loss and accuracy; of a model with a box head each head's loss and the mean IoU as well."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks import picture_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUANTITIES = {
    "loss": "loss (nats)",
    "class_loss": "class loss (nats)",
    "box_loss": "box loss (1 - generalised IoU)",
    "accuracy": "accuracy (share of rows)",
    "mean_iou": "mean IoU of the boxes",
}
_SUM = "loss (weighted sum of both heads)"
_SERIES = {"train": ("training", picture_style.FIRST), "val": ("validation", picture_style.SECOND)}
_MOST_EPOCHS_WITH_MARKERS = 40
_COLUMNS = 3
_WIDTH, _HEIGHT = 4.6, 3.6  # inches of a panel


@picture_style.styled()
def draw_curves(history: dict[str, list[float]], chosen_epoch: int, title: str, path: Path) -> None:
    """Draw the quantities side by side, training against validation, with the chosen epoch marked.

    Args:
        history: one value an epoch under `train_loss`, `train_accuracy`, `val_loss`, `val_accuracy`, or some of them,
            and `…_class_loss`, `…_box_loss` and `…_mean_iou`; NaN leaves a gap. A quantity without any series gets no
            panel. More than three panels stand in two rows, the losses in the upper one.
        chosen_epoch: whose weights were kept; epochs count from 1.
        title: stands above the panels.
        path: PNG to write.

    Raises:
        ValueError: the history holds none of these series.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = _find_panels(history)
    if not panels:
        raise ValueError(
            f"No curves to draw: expected train_loss, val_loss, … of the epochs; received {sorted(history)}"
        )
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    width = _WIDTH * columns
    figure = Figure(figsize=(width, _HEIGHT * rows), layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.06))
    figure.suptitle(picture_style.wrap(title, picture_style.TITLE_SIZE, width * picture_style.POINTS_PER_INCH))
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes[len(panels) :]:
        ax.remove()
    axes = axes[: len(panels)]
    for ax, name in zip(axes, panels, strict=True):
        _draw_panel(ax, history, name, chosen_epoch)
        ax.set_ylabel(_SUM if name == "loss" and "box_loss" in panels else _QUANTITIES[name])
    shown = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=len(shown))
    picture_style.save(figure, path)


def _find_panels(history: dict[str, list[float]]) -> list[str]:
    """The quantities that have a series; a head's loss only beside another, as it is the sum where it is alone."""
    panels = [name for name in _QUANTITIES if any(history.get(f"{series}_{name}") for series in _SERIES)]
    of_heads = [name for name in panels if name in {"class_loss", "box_loss"}]
    return [name for name in panels if len(of_heads) > 1 or name not in of_heads]


def _draw_panel(ax: "Axes", history: dict[str, list[float]], name: str, chosen_epoch: int) -> None:
    from matplotlib.ticker import MaxNLocator

    last_epoch = 1
    for series, (label, colour) in _SERIES.items():
        values = history.get(f"{series}_{name}", [])
        if not values:
            continue
        last_epoch = max(last_epoch, len(values))
        # A value between two gaps has no line to either side: without markers it would be invisible.
        marker = "o" if len(values) <= _MOST_EPOCHS_WITH_MARKERS else None
        ax.plot(range(1, len(values) + 1), values, label=label, color=colour, marker=marker, markersize=3.5)
    ax.axvline(chosen_epoch, label=f"chosen: epoch {chosen_epoch}", color=picture_style.INK, linestyle=":", zorder=1)
    ax.set_xlim(0.5, max(last_epoch, chosen_epoch) + 0.5)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(visible=True, axis="y")
    ax.spines[["top", "right"]].set_visible(False)
