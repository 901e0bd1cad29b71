"""What the page of `darkroom demo` says and does, without the page."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_config.errors import DarkroomError
from tasks.opening import read_file, why_not_opened
from tasks.pages import open_templates
from tasks.serve.cards import Card, make_cards, make_sample_card
from tasks.serve.champion import Champion
from tasks.serve.feedback import store_feedback
from tasks.serve.ready import ReadyModel
from tasks.serve.shown import as_data_uri, shrink

if TYPE_CHECKING:
    import jinja2

MOST_FILES = 24
"""Images that are answered at once, so that the page stays one that can be looked at."""
_KEPT = 2_000  # answered files whose class can still be told; older ones are to be dropped again
_MEASURES = {
    "test_accuracy": "accuracy",
    "test_macro_f1": "macro F1",
    "test_mean_iou": "mean IoU of boxes",
    "test_ece": "calibration error",
    "outside_accuracy": "accuracy outside",
}

TEMPLATES = Path(__file__).parent / "templates"


@dataclass
class Demo:
    """Answers, always by the model that is champion now.

    Attributes:
        champion: gives it.
        feedback: folder below which images are kept whose class was told, one folder an experiment.
    """

    champion: Champion[ReadyModel]
    feedback: Path
    _answered: "OrderedDict[str, Path]" = field(default_factory=OrderedDict)
    _storing: threading.Lock = field(default_factory=threading.Lock)

    def head(self) -> str:
        """Whose model answers, and how it was measured, as HTML."""
        ready = self.champion.current()
        about = ready.about
        version = f"version {about.version}" if about.version else None
        title = " · ".join(filter(None, [about.experiment or "a model", version, about.name]))
        classes = len(ready.served.class_names)
        subtitle = f"{ready.served.uri} tells {classes:,} classes apart{_measured(about.metrics)}"
        return _render("head", uri=ready.served.uri, title=title, subtitle=subtitle, measures=_measures(about.metrics))

    def notice(self, before: str, switched: bool) -> str:
        """What people at an open page must know, as HTML; empty where there is nothing.

        Args:
            before: what they were told last.
            switched: whether another model answers than the one that they know of.
        """
        problem = self.champion.problem
        if problem:
            return _render("notice", kind="problem", sentence=problem)
        if switched:
            uri = self.champion.current().served.uri
            return _render("notice", kind="switched", sentence=f"Another model was chosen: {uri} answers from now on.")
        return "" if 'class="notice problem"' in before else before

    def samples(self) -> str:
        """The model's test images, to be chosen from, as HTML."""
        return _render("samples", samples=[as_data_uri(shrink(one)) for one in self.champion.current().samples])

    def model_card(self) -> str:
        """Markdown."""
        return self.champion.current().about.card or "This model has no card."

    def answer(self, files: Sequence[str]) -> str:
        """A card a file, as HTML; empty without files.

        Args:
            files: paths of uploaded files, which the page must know to be its own.
        """
        ready = self.champion.current()
        paths = [Path(file) for file in files[:MOST_FILES]]
        cards = make_cards(ready, paths)
        for path, card in zip(paths, cards, strict=True):
            self._remember(card, path)
        more = f"Only the first {MOST_FILES} of {len(files):,} files were taken." if len(files) > MOST_FILES else ""
        return self._render_cards(ready, cards, more)

    def answer_sample(self, number: int) -> str:
        """The card of one of the model's test images, as HTML."""
        ready = self.champion.current()
        if not 0 <= number < len(ready.samples):
            return ""  # a page that still shows those of a model before
        return self._render_cards(ready, [make_sample_card(ready, number)], "")

    def store(self, sha256: str, label: str) -> str:
        """Keep an image that was answered with the class that somebody says it has; tells what came of it.

        Args:
            sha256: of its file, as its card has it.
            label: the class.
        """
        ready, path = self.champion.current(), self._answered.get(sha256)
        try:
            if ready.about.experiment is None or path is None:
                raise DarkroomError("the image is gone; drop it again")
            folder = self.feedback / ready.about.experiment
            with self._storing:
                stored = store_feedback(folder, read_file(str(path)), label.strip(), ready.served.class_names)
        except OSError as error:
            return f"Not stored: {why_not_opened(error)}"
        except DarkroomError as error:
            return f"Not stored: {error}"
        return f"Thank you: stored as {stored.parent.name}."

    def _remember(self, card: Card, path: Path) -> None:
        if card.sha256:
            self._answered[card.sha256] = path
            self._answered.move_to_end(card.sha256)
        while len(self._answered) > _KEPT:
            self._answered.popitem(last=False)

    def _render_cards(self, ready: ReadyModel, cards: Sequence[Card], more: str) -> str:
        return _render(
            "cards",
            cards=cards,
            by=ready.served.uri,
            more=more,
            why_no_evidence=ready.why_no_evidence,
            evidence=any(card.evidence for card in cards),
            feedback=ready.about.experiment is not None,
            class_names=ready.served.class_names,
        )


def _measures(metrics: dict[str, float]) -> list[tuple[str, str, str]]:
    """Name, value and 95 % interval of the headline metrics that there are."""
    told = []
    for name, words in _MEASURES.items():
        if name in metrics:
            low, high = (metrics.get(f"{name}_{end}") for end in ("low", "high"))
            interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
            told.append((words, f"{metrics[name]:.3f}", interval))
    return told


def _measured(metrics: dict[str, float]) -> str:
    return "; measured on its test images, with 95 % intervals:" if _measures(metrics) else ""


def _render(template: str, **values: object) -> str:
    return _templates().get_template(f"{template}.html.jinja").render(**values)


@cache
def _templates() -> "jinja2.Environment":
    return open_templates(TEMPLATES)
