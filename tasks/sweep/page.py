"""The report as one HTML page that needs nothing beside itself: it asks nothing of the network and of no other file."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from pipeline_config.sweep import Sweep
from tasks.pages import STYLE, open_templates
from tasks.records import Trial
from tasks.sweep import table
from tasks.sweep.plots import Plot
from tasks.sweep.scale import make_scale
from tasks.sweep.verdict import tell_search, tell_states, tell_verdict

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(
    trials: Sequence[Trial],
    sweep: Sweep,
    plots: Sequence[Plot],
    figures: Mapping[str, Sequence[str]],
    images: int | None = None,
) -> str:
    """The page; whatever comes from the trials is escaped.

    Args:
        plots: of `find_plots`.
        figures: of `make_figures`.
        images: validation images that the values were measured on, to be told with them.
    """
    scripts = _scripts() if figures else ()
    return (
        _templates()
        .get_template("report.html.jinja")
        .render(
            style=STYLE,
            sweep=sweep,
            states=tell_states(trials),
            search=tell_search(sweep),
            verdict=tell_verdict(trials, sweep, images),
            rows=table.make_rows(trials, sweep.metric),
            settings=table.setting_columns(trials),
            value=table.value_column(sweep.metric),
            columns=table,
            scale=make_scale(trials, sweep.metric),
            plots=plots,
            figures={name: len(told) for name, told in figures.items()},
            data=_escape_json(figures),
            scripts=[Markup(script) for script in scripts],
            hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'",
        )
    )


def _escape_json(figures: Mapping[str, Sequence[str]]) -> Markup:
    """Name of each plot -> list of its figures, in which no text can end the element that holds it."""
    lists = ", ".join(f"{json.dumps(name)}: [{', '.join(told)}]" for name, told in figures.items())
    return Markup(f"{{{lists}}}".replace("<", "\\u003c"))


def _scripts() -> tuple[str, str]:
    """Plotly's library, whole, and the few lines that draw the figures with it."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs(), (_TEMPLATES / "figures.js").read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """What the page's security policy knows the script by, so that no other can run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _templates() -> jinja2.Environment:
    return open_templates(_TEMPLATES)
