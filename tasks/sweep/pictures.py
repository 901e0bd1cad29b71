"""Optuna's plots as PNG, drawn by Optuna and then brought into the style of the project's pictures."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import picture_style
from tasks.picture_style import FAINT, FIRST, INK, POINTS_PER_INCH, SECOND, TEXT_SIZE, TITLE_SIZE
from tasks.sweep.marks import BEST, MARKS
from tasks.sweep.plots import SEED, Plot, complete_values, epoch_values, find_target, is_wide
from tasks.sweep.shown_study import varied_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from optuna.study import Study

_WIDTH, _HEIGHT = 7.2, 4.0  # inches of a plot with one panel
_PANEL, _PANEL_HEIGHT, _COLUMNS = 3.4, 2.9, 3  # inches of a slice, and how many stand side by side
_AXIS = 1.9  # inches from one parallel axis to the next
_MANY = 30  # curves, or epochs, beyond which points have no dots


@dataclass(frozen=True)
class _Subject:
    """What the pictures are of, as of `draw_pictures`."""

    shown: "Study"
    marks: Mapping[int, str]
    metric: str


def draw_pictures(
    shown: "Study", marks: Mapping[int, str], metric: str, plots: Sequence[Plot], folder: Path, title: str
) -> None:
    """Write `curves.png`, `parallel_coordinates.png` and so on, those of the plots that can be drawn.

    Args:
        shown: of `copy_for_show`.
        marks: of `find_marks`.
        metric: that the sweep goes by.
        plots: of `find_plots`.
        folder: to write to.
        title: names the sweep; stands above each picture.
    """
    subject = _Subject(shown, marks, metric)
    for plot in plots:
        if not plot.missing:
            _draw(subject, plot, folder / f"{plot.name}.png", f"{title}: {plot.title.lower()}")


@picture_style.styled()  # one by one: Optuna sets a style of its own in some, which would reach the others
def _draw(subject: _Subject, plot: Plot, path: Path, title: str) -> None:
    import matplotlib.pyplot as plt
    from optuna.exceptions import ExperimentalWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            figure = _DRAWN[plot.name](subject)
        figure.suptitle("")
        for place in ("left", "center"):
            figure.axes[0].set_title("", loc=place)
        _set_text(figure)
        heading = picture_style.wrap(title, TITLE_SIZE, figure.get_figwidth() * POINTS_PER_INCH)
        figure.text(0.5, 1.0, heading, ha="center", va="bottom", size=TITLE_SIZE)
        picture_style.save(figure, path)
    finally:
        plt.close("all")  # Optuna's figures, also that of a plot that could not be drawn; pyplot's are nobody else's


def _draw_curves(of: _Subject) -> "Figure":
    from optuna.visualization.matplotlib import plot_intermediate_values

    ax: Any = plot_intermediate_values(of.shown)
    _mend(ax, "epoch", of.metric, logarithmic=is_wide(epoch_values(of.shown)))
    lines = ax.get_lines()
    longest = max(len(line.get_xdata()) for line in lines)
    for line in lines:
        mark = of.marks.get(int(str(line.get_label()).removeprefix("Trial")), "")
        style = MARKS.get(mark)
        line.set(color=style.paper if style else FAINT, linewidth=style.width if style else 0.9, alpha=1.0)
        line.set(zorder=2 + list(MARKS).index(mark) / 10 if style else 1.9, label=mark)
        if len(lines) > _MANY or longest > _MANY:
            line.set_marker("." if len(line.get_xdata()) == 1 else "")
    _add_legend(ax, {str(line.get_label()): line for line in lines}, of.marks)
    return _size(ax, _WIDTH, _HEIGHT)


def _add_legend(ax: "Axes", lines: Mapping[str, Any], marks: Mapping[int, str]) -> None:
    if previous := ax.get_legend():
        previous.remove()
    best = next((number for number, mark in marks.items() if mark == BEST), None)
    labels = {mark: f"best, trial {best}" if mark == BEST else mark for mark in reversed(MARKS) if mark in lines}
    handles = [lines[mark] for mark in labels]
    ax.legend(handles, labels.values(), loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=len(labels) or 1)


def _draw_parallel(of: _Subject) -> "Figure":
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    names = varied_names(of.shown)
    target, told = find_target(of.shown, of.metric)
    ax: Any = plot_parallel_coordinate(of.shown, params=names, target=target, target_name=told)
    ax.collections[0].colorbar.remove()  # the first axis is the scale
    _colour_by_value(ax.collections[0], of.shown.direction.name == "MAXIMIZE")
    figure = _size(ax, _AXIS * len(names) + 1.2, _HEIGHT)
    for other in figure.axes:
        other.set(position=(0.12, 0.12, 0.74, 0.84), facecolor="none")
        other.grid(visible=False)
        for spine in other.spines.values():
            spine.set_edgecolor("#8a94a3")
        if other.get_yscale() == "log":
            _tell_powers(other.yaxis)
        for label in other.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8})
    ax.tick_params(axis="x", length=0, pad=10)
    ax.set_xticks(ax.get_xticks(), [label.get_text() for label in ax.get_xticklabels()], rotation=0)
    return figure


def _colour_by_value(lines: Any, is_maximized: bool) -> None:
    """Grey to blue, the better the bluer, and the best on top."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    values, segments = np.asarray(lines.get_array()), lines.get_segments()
    order = np.argsort(values if is_maximized else -values, kind="stable")
    lines.set_segments([segments[place] for place in order])
    lines.set_array(values[order])
    colours = ["#c9ced6", FIRST] if is_maximized else [FIRST, "#c9ced6"]
    lines.set(cmap=LinearSegmentedColormap.from_list("better", colours), linewidth=1.4)


def _draw_importance(of: _Subject) -> "Figure":
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    names = varied_names(of.shown)
    target, told = find_target(of.shown, of.metric)
    evaluator = FanovaImportanceEvaluator(seed=SEED)
    ax: Any = plot_param_importances(of.shown, evaluator=evaluator, params=names, target=target, target_name=told)
    ax.get_legend().remove()
    for bar in ax.patches:
        bar.set(facecolor=FIRST)
    for text in ax.texts:
        text.set_text(f" {text.get_text()}")
    _mend(ax, f"share of the variance of {told}", "", whole_numbers=False)
    ax.grid(visible=False, axis="y")
    return _size(ax, _WIDTH, 1.2 + 0.45 * len(names))


def _draw_slices(of: _Subject) -> "Figure":
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator
    from optuna.visualization.matplotlib import plot_slice

    names = sorted(varied_names(of.shown))
    drawn: Any = plot_slice(of.shown, params=names, target_name=of.metric)
    panels = list(np.atleast_1d(drawn))
    figure: Figure = panels[0].figure
    later = LinearSegmentedColormap.from_list("later", ["#cfe0f2", FIRST, "#0b2f5c"])
    for ax, name in zip(panels, names, strict=True):
        _mend(ax, name, of.metric, is_wide(complete_values(of.shown)), whole_numbers=False)
        ax.collections[0].set(cmap=later, edgecolor="#6f7883", linewidth=0.5)
        _label_choices(ax, of.shown, name)
    bar = panels[-1].collections[0].colorbar
    bar.update_normal(bar.mappable)
    bar.locator = MaxNLocator(8, integer=True)
    bar.update_ticks()
    return _arrange(figure, panels, figure.axes[-1])


def _label_choices(ax: "Axes", shown: "Study", name: str) -> None:
    """Optuna labels choices by their `repr`, texts in quotes."""
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState

    trials = shown.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    distribution = trials[0].distributions[name]
    if not isinstance(distribution, CategoricalDistribution):
        return
    used = {repr(trial.params[name]) for trial in trials}
    labels = [str(choice) for choice in distribution.choices if repr(choice) in used]
    turned = sum(len(label) for label in labels) > 34
    ax.set_xticks(range(len(labels)), labels, rotation=30 if turned else 0, ha="right" if turned else "center")
    ax.set_xlim(-0.4, len(labels) - 0.6)


def _arrange(figure: "Figure", panels: Sequence["Axes"], bar: "Axes") -> "Figure":
    """At most three slices side by side, more in further rows; the scale of trial numbers at the right of them."""
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    figure.set_size_inches(_PANEL * columns + 0.9, _PANEL_HEIGHT * rows)
    grid = figure.add_gridspec(
        rows,
        columns + 1,
        width_ratios=[1.0] * columns + [0.04],
        wspace=0.12,
        hspace=0.55,
        left=0.1,
        top=1 - 0.15 / (_PANEL_HEIGHT * rows),
    )
    for place, ax in enumerate(panels):
        ax.set_subplotspec(grid[place // columns, place % columns])
        ax.xaxis.set_tick_params(labelbottom=True)
        ax.yaxis.set_tick_params(labelleft=place % columns == 0)
        ax.yaxis.label.set_visible(place % columns == 0)
        ax.set_xlabel(ax.get_xlabel())
    bar.set_subplotspec(grid[:, columns])
    bar.set(aspect="auto", box_aspect=None, anchor="C", ylabel="trial")
    return figure


def _draw_history(of: _Subject) -> "Figure":
    from optuna.visualization.matplotlib import plot_optimization_history

    ax: Any = plot_optimization_history(of.shown, target_name=of.metric)
    _mend(ax, "trial", of.metric, is_wide(complete_values(of.shown)))
    ax.collections[0].set(color=FIRST, sizes=[24], zorder=3)
    (best,) = ax.get_lines()
    best.set(color=SECOND, alpha=1.0, linewidth=1.4, drawstyle="steps-post")
    ax.legend(
        [ax.collections[0], best],
        ["complete trial", "best so far"],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        ncols=2,
    )
    return _size(ax, _WIDTH, _HEIGHT)


_DRAWN: dict[str, Callable[[_Subject], "Figure"]] = {
    "curves": _draw_curves,
    "parallel_coordinates": _draw_parallel,
    "importance": _draw_importance,
    "slices": _draw_slices,
    "history": _draw_history,
}


def _mend(ax: "Axes", x: str, y: str, logarithmic: bool = False, whole_numbers: bool = True) -> None:
    """White paper and faint lines instead of Optuna's grey ones; labels that say what is shown."""
    from matplotlib.ticker import MaxNLocator

    ax.set(facecolor="white", xlabel=x, ylabel=y, axisbelow=True)
    ax.grid(visible=True, color=FAINT, linewidth=0.5)
    for name, spine in ax.spines.items():
        spine.set(visible=name in {"left", "bottom"}, edgecolor=FAINT)
    if logarithmic:
        ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            _tell_powers(axis)
    if whole_numbers:
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))


def _tell_powers(axis: "Axis") -> None:
    """Logarithmic ticks as plain text, `0.001`: names of classes and settings are never read as formulas, nor these."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _size(ax: "Axes", width: float, height: float) -> "Figure":
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.set_layout_engine("none")
    figure.set_size_inches(width, height)
    figure.subplots_adjust(top=0.96)
    return figure


def _set_text(figure: "Figure") -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set(size=TEXT_SIZE, color=INK)
    for ax in figure.axes:
        ax.tick_params(which="both", labelsize=TEXT_SIZE, labelcolor=INK, color=FAINT)
