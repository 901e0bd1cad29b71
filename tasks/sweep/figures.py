"""Optuna's plots as interactive figures of the page: Plotly's JSON, in colours that are seen on white and on black."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.sweep.marks import BEST, MARKS
from tasks.sweep.plots import SEED, Plot, complete_values, epoch_values, find_target, is_wide
from tasks.sweep.shown_study import varied_names

if TYPE_CHECKING:
    from optuna.study import Study

_GREY, _BLUE = (138, 148, 163), (47, 127, 214)  # both are seen on white and on black
_LATER = ((0.0, "#b8c0cb"), (1.0, "#2f7fd6"))
_HEIGHT = 380  # pixels
_BAR, _AXIS = 40, 130  # pixels of height a bar, of width an axis


def make_figures(shown: "Study", marks: Mapping[int, str], metric: str, plots: Sequence[Plot]) -> dict[str, list[str]]:
    """Name of a plot -> its figures as JSON, of slices one a setting; those of the plots that can be drawn.

    Args:
        shown: of `copy_for_show`.
        marks: of `find_marks`.
        metric: that the sweep goes by.
        plots: of `find_plots`.
    """
    makers = {
        "curves": lambda: [_make_curves(shown, marks, metric)],
        "parallel_coordinates": lambda: [_make_parallel(shown, metric)],
        "importance": lambda: [_make_importance(shown, metric)],
        "slices": lambda: [_make_slice(shown, metric, name) for name in varied_names(shown)],
        "history": lambda: [_make_history(shown, metric)],
    }
    return {plot.name: [_as_json(one) for one in makers[plot.name]()] for plot in plots if not plot.missing}


def _as_json(figure: Any) -> str:
    """The figure without Plotly's own template, which the page's takes the place of."""
    figure.layout.template = "none"
    figure.update_layout(title=None, margin={"t": 16, "b": 48, "l": 56, "r": 16}, plot_bgcolor=None)
    figure.update_yaxes(automargin=True)
    return str(figure.to_json())


def _make_curves(shown: "Study", marks: Mapping[int, str], metric: str) -> Any:
    from optuna.visualization import plot_intermediate_values

    figure = plot_intermediate_values(shown)
    told: set[str] = set()
    for trace in figure.data:
        number = int(trace.name.removeprefix("Trial"))
        mark = marks.get(number, "")
        style = MARKS.get(mark)
        trace.update(
            name=f"best, trial {number}" if mark == BEST else mark or "other",
            line={"color": style.screen if style else "#8a94a3", "width": style.width + 0.4 if style else 1.3},
            marker={"size": 5},
            legendgroup=mark,
            showlegend=mark not in told,
            hovertemplate=f"trial {number}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
        )
        told.add(mark)
    figure.data = sorted(figure.data, key=lambda trace: [*MARKS].index(trace.legendgroup) if trace.legendgroup else -1)
    figure.update_layout(showlegend=True, height=_HEIGHT, legend={**_legend_below(), "traceorder": "reversed"})
    return _name_axes(figure, "epoch", metric, is_wide(epoch_values(shown)))


def _make_parallel(shown: "Study", metric: str) -> Any:
    """Optuna's lines in grey to blue, the better the bluer, and the best on top."""
    from optuna.visualization import plot_parallel_coordinate

    names = varied_names(shown)
    target, told = find_target(shown, metric)
    figure = plot_parallel_coordinate(shown, params=names, target=target, target_name=told)
    up = shown.direction.name == "MAXIMIZE"
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    for line in lines:
        share = float(line.y[0]) if up else 1 - float(line.y[0])
        line.update(opacity=0.85, line={"color": _mix(share), "width": 1 + share})
    figure.data = sorted(lines, key=lambda line: float(line.y[0]), reverse=not up)
    for annotation in figure.layout.annotations:
        annotation.font.color = None
    figure.update_xaxes(range=(-0.45, len(names) + 0.1))
    figure.update_layout(height=_HEIGHT, meta={"least_width": _AXIS * (len(names) + 1)}, showlegend=False)
    return figure


def _mix(share: float) -> str:
    """Grey at 0, blue at 1."""
    mixed = (round(low + share * (high - low)) for low, high in zip(_GREY, _BLUE, strict=True))
    return "rgb({}, {}, {})".format(*mixed)


def _make_importance(shown: "Study", metric: str) -> Any:
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.visualization import plot_param_importances

    names = varied_names(shown)
    target, told = find_target(shown, metric)
    evaluator = FanovaImportanceEvaluator(seed=SEED)
    figure = plot_param_importances(shown, evaluator=evaluator, params=names, target=target, target_name=told)
    figure.update_traces(marker={"color": "#2f7fd6"}, hovertemplate="%{y}: %{x:.3f}<extra></extra>")
    figure.update_layout(height=70 + _BAR * len(names), showlegend=False)
    figure.update_xaxes(range=(0, 1.12), tickvals=[0, 0.25, 0.5, 0.75, 1])
    return _name_axes(figure, f"share of the variance of {told}", None)


def _make_slice(shown: "Study", metric: str, name: str) -> Any:
    from optuna.visualization import plot_slice

    figure = plot_slice(shown, params=[name], target_name=metric)
    (points,) = figure.data
    hover = "trial %{marker.color}: %{y:.4g}<br>" + name + " %{x}<extra></extra>"
    points.update(
        hovertemplate=hover, marker={"colorscale": _LATER, "size": 8, "showscale": False, "line": {"width": 0}}
    )
    if isinstance(points.x[0], str):
        points.x = [text.strip("'") for text in points.x]
        figure.update_xaxes(categoryarray=[text.strip("'") for text in figure.layout.xaxis.categoryarray])
    figure.update_layout(height=300)
    return _name_axes(figure, name, metric, is_wide(complete_values(shown)))


def _make_history(shown: "Study", metric: str) -> Any:
    from optuna.visualization import plot_optimization_history

    figure = plot_optimization_history(shown, target_name=metric)
    points, best = figure.data[:2]
    points.update(name="complete trial", marker={"color": "#2f7fd6", "size": 8})
    points.hovertemplate = "trial %{x}: %{y:.4g}<extra></extra>"
    best.update(name="best so far", line={"color": "#d0720c", "width": 1.6, "shape": "hv"}, hoverinfo="skip")
    figure.data = (points, best)
    figure.update_layout(height=_HEIGHT, legend=_legend_below())
    return _name_axes(figure, "trial", metric, is_wide(complete_values(shown)))


def _legend_below() -> dict[str, Any]:
    return {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.2, "yanchor": "top"}


def _name_axes(figure: Any, x: str, y: str | None, logarithmic: bool = False) -> Any:
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    if logarithmic:
        figure.update_yaxes(type="log", dtick=1)
    return figure
