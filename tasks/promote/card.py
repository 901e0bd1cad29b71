"""The model card of a registered version: Markdown for the registry, a page for the run."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pipeline_config.settings import Settings
from tasks import predictions
from tasks.pages import STYLE, open_templates
from tasks.promote.card_facts import CardFacts
from tasks.promote.card_limits import tell_limits
from tasks.promote.card_tables import class_rows, metric_rows, split_counts
from tasks.tracking import DESCRIPTION_FILE

LONGEST_DESCRIPTION = 5_000
"""Characters that MLflow's stores take (`String(5000)` in their tables; SQLite alone would take more)."""
PAGE, CARD = "model_card.html", "model_card.md"
_TEMPLATES = Path(__file__).parent / "templates"
# Classes shown and characters of a sentence in a table, until the card is as short as a description must be.
_SHORTER = ((40, 400), (20, 240), (10, 160), (5, 120), (0, 80))
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~])")


def write_card(facts: CardFacts, folder: Path) -> None:
    """Write `model_card.md` (with the metadata that Hugging Face reads), `model_card.html` and the description."""
    body = render_card(facts)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {CARD: _with_metadata(facts, body), PAGE: _as_page(facts, body), DESCRIPTION_FILE: describe(facts)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def describe(facts: CardFacts) -> str:
    """The card in at most `LONGEST_DESCRIPTION` characters; what is left out is said, and where it is."""
    for classes, characters in _SHORTER:
        text = render_card(facts, classes, characters)
        if len(text) <= LONGEST_DESCRIPTION:
            return text
    end = f"\n\n… cut off; the whole card: {PAGE} of the train run"
    return text[: LONGEST_DESCRIPTION - len(end)] + end


def render_card(facts: CardFacts, most_classes: int | None = None, most_characters: int | None = None) -> str:
    """The card as Markdown, without metadata.

    Args:
        most_classes: rows of the table of classes, those of the lowest recall; None for all of them.
        most_characters: of a gate's sentence; None for whole ones.
    """
    rows = class_rows(facts.predictions, facts.manifest)
    shown = rows if most_classes is None or len(rows) <= most_classes else _worst(rows, most_classes)
    template = open_templates(_TEMPLATES, autoescape=False).get_template("model_card.md.jinja")
    return template.render(
        facts=facts,
        name=facts.tags.experiment,
        class_names=predictions.class_names(facts.predictions),
        has_boxes=predictions.has_boxes(facts.predictions),
        splits=split_counts(facts.manifest) if facts.manifest is not None else {},
        metrics=metric_rows(facts.model.metrics),
        classes=shown,
        left_out=len(rows) - len(shown),
        limits=[_sentence(told) for told in tell_limits(facts)],
        tracking_uri=_without_password(Settings().tracking_uri),
        page=PAGE,
        md=escape,
        cut=lambda text: _cut(text, most_characters),
    )


def _worst(rows: list[Any], count: int) -> list[Any]:
    kept = set(sorted(range(len(rows)), key=lambda place: rows[place].recall)[:count])
    return [row for place, row in enumerate(rows) if place in kept]


def _sentence(told: str) -> str:
    return f"{told[:1].upper()}{told[1:]}."


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def escape(text: object) -> str:
    """Plain text in Markdown: no character of it marks anything up, and it stays on one line."""
    safe = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", safe)


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def _with_metadata(facts: CardFacts, body: str) -> str:
    """The card as Hugging Face's tools read it; they are asked for its form alone, and nothing is sent anywhere."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    name, metrics = facts.tags.experiment, facts.model.metrics
    named = {"accuracy": "test_accuracy", "f1": "test_macro_f1", "mean_iou": "test_mean_iou"}
    results = [
        EvalResult("image-classification", name, name, metric, metrics[key], dataset_split="test")
        for metric, key in named.items()
        if key in metrics
    ]
    data = ModelCardData(
        model_name=name,
        pipeline_tag="image-classification",
        tags=["darkroom", facts.model.family],
        eval_results=results or None,
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))


def _as_page(facts: CardFacts, body: str) -> str:
    """The card as one HTML file that needs nothing beside itself."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").render(body)
    title = f"{facts.tags.experiment}, version {facts.version}"
    template = open_templates(_TEMPLATES).get_template("model_card.html.jinja")
    return template.render(style=STYLE, title=title, body=Markup(rendered))
