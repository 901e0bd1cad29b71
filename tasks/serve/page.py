"""The page of `darkroom demo`, which asks nothing of other machines."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from tasks import picture_style
from tasks.reasons import reason
from tasks.serve.demo import TEMPLATES, Demo

if TYPE_CHECKING:
    import gradio

Answer = TypeVar("Answer")

_LOOK_EVERY = 2.0  # seconds, of an open page
_KEEP_SECONDS = 3_600  # uploaded files; their class can be told as long
_SESSIONS = 200  # of which Gradio keeps a copy of the page's layout each, though nothing of it ever changes
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
_FIXED_FONTS = ("ui-monospace", "DejaVu Sans Mono", "monospace")
_ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}  # memory holds the images of one request


def make_page(demo: Demo) -> "gradio.Blocks":
    """Gradio's page: choose images, see what the champion takes them for, say what they are."""
    import gradio as gr

    with gr.Blocks(title="Darkroom", analytics_enabled=False, delete_cache=(600, _KEEP_SECONDS)) as page:
        head = gr.HTML(elem_id="head")
        notice = gr.HTML(elem_id="notice")
        files = gr.File(
            file_count="multiple", label="Drop or choose one or several images", height=210, elem_id="files"
        )
        samples = gr.HTML(js_on_load=_script("samples"), elem_id="samples")
        cards = gr.HTML(js_on_load=_script("cards"), server_functions=[_storing(demo)], elem_id="cards")
        with gr.Accordion("Model card", open=False):
            card = gr.Markdown(elem_id="model-card")
        _wire_answers(demo, files, samples, cards)
        shown = [head, notice, samples, card]
        quiet = {"show_progress": "hidden", "queue": False}
        page.load(_told(_look_of(demo)), [head, notice], shown, **quiet)
        gr.Timer(_LOOK_EVERY).tick(_told(_look_of(demo)), [head, notice], shown, **quiet)
    page.state_session_capacity = _SESSIONS
    return page


def _wire_answers(demo: Demo, files: Any, samples: Any, cards: Any) -> None:
    import gradio as gr

    def answer(paths: list[str] | None) -> str:
        return demo.answer(paths or [])

    def answer_sample(event: gr.EventData) -> str:
        return demo.answer_sample(int(event.sample))

    files.change(_told(answer), [files], [cards], api_name="answer", **_ONE_AT_A_TIME)
    samples.click(_told(answer_sample), None, [cards], **_ONE_AT_A_TIME)


def _storing(demo: Demo) -> Callable[[Any], str]:
    def store(told: Any) -> str:
        """A request's own, which may be anything."""
        if not (isinstance(told, list) and len(told) == 2 and all(isinstance(one, str) for one in told)):
            return "Not stored: expected the sha256 of an image and a class"
        try:
            return demo.store(*told)
        except Exception as error:
            return f"Not stored: {reason(error)}"

    return store


def _look_of(demo: Demo) -> Callable[[str | None, str | None], Any]:
    def look(head: str | None, notice: str | None) -> Any:
        """What an open page shows of the model, where that is another than it shows."""
        import gradio as gr

        now = demo.head()
        told = demo.notice(notice or "", switched=bool(head) and head != now)
        unlike = gr.skip() if told == notice else told
        if now == head:
            return gr.skip(), unlike, gr.skip(), gr.skip()
        return now, unlike, demo.samples(), demo.model_card()

    return look


def _told(action: Callable[..., Answer]) -> Callable[..., Answer]:
    """An error as a sentence on the page, never as a traceback."""

    @wraps(action)
    def tell(*arguments: Any, **named: Any) -> Answer:
        import gradio as gr

        try:
            return action(*arguments, **named)
        except Exception as error:
            raise gr.Error(reason(error), print_exception=False) from None

    return tell


def _script(name: str) -> str:
    return (TEMPLATES / f"{name}.js").read_text(encoding="utf-8")


def theme() -> "gradio.themes.Base":
    """The project's colours, and fonts that every machine has: Gradio's own are fetched from elsewhere."""
    import gradio as gr

    colours = gr.themes.Color(
        *("#eef4fb", "#d6e6f5", "#b9d3ec", "#8fb9e2", "#5b9fe6", picture_style.FIRST),
        *("#1f5a9b", "#1a4a80", "#143a65", "#0b2f5c", "#081d3a"),
    )
    base = gr.themes.Base(primary_hue=colours, neutral_hue="slate", font=_FONTS, font_mono=_FIXED_FONTS)
    return base.set(body_text_color_subdued="#5d6672", body_text_color_subdued_dark="#9aa4b1")


def style() -> str:
    """CSS of the page beside Gradio's."""
    return (TEMPLATES / "demo.css").read_text(encoding="utf-8")
