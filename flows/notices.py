"""What a scheduled run came to, told where people look: a Prefect artifact, and a webhook if one is set."""

from dataclasses import asdict, dataclass
from urllib.parse import urlsplit
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate

from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import say

_SECONDS = 5
_KEY = "scheduled-run"


@dataclass(frozen=True)
class Notice:
    """What a scheduled run came to.

    Attributes:
        result: `done`, `nothing to do` or `failed`.
        reason: why it was run, why there was nothing to do, or why it failed.
        best_model: by validation; None unless done.
        decision: the registry's, in a word; None unless done.
        run_id: in MLflow; None where it could not be written.
        link: to that run.
    """

    experiment: str
    result: str
    reason: str
    best_model: str | None = None
    decision: str | None = None
    run_id: str | None = None
    link: str | None = None


def tell(notice: Notice, flow_run_id: str) -> None:
    """Tell it everywhere; what cannot be told is a warning alone.

    Args:
        notice: what is told.
        flow_run_id: in Prefect, which is named since a hook is called outside of its flow run.
    """
    say(f"{notice.experiment}: {notice.result}: {notice.reason}")
    try:
        _add_artifact(notice, UUID(flow_run_id))
    except Exception as error:
        say(f"warning: Prefect could not be told: {type(error).__name__}")
    url = Settings().darkroom_webhook_url
    if url:
        _call(url, notice)


def _add_artifact(notice: Notice, flow_run_id: UUID) -> None:
    page = _as_markdown(notice)
    made = ArtifactCreate(
        key=_KEY, type="markdown", description=notice.result, data=page, flow_run_id=flow_run_id, task_run_id=None
    )
    with get_client(sync_client=True) as client:
        client.create_artifact(made)


def link_to(run_id: str | None) -> str | None:
    """Address of a run in MLflow's UI."""
    return tracking.page_of(run_id) if run_id else None


def _as_markdown(notice: Notice) -> str:
    told = [("Experiment", notice.experiment), ("Result", notice.result), ("Because", notice.reason)]
    told += [("Best model", notice.best_model or ""), ("Decision", notice.decision or "")]
    lines = [f"- **{name}:** {_plain(text)}" for name, text in told if text]
    if notice.link:
        where = "" if Settings().tracks_on_server else " (start the page with `darkroom ui`)"
        lines.append(f"- **In MLflow:** [run {notice.run_id}]({notice.link}){where}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return text.replace("<", "&lt;")


def _call(url: str, notice: Notice) -> None:
    """Its path may be a secret, and is not told."""
    import httpx

    try:
        httpx.post(url, json=asdict(notice), timeout=_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        answered = getattr(getattr(error, "response", None), "status_code", None)
        problem = f"it answered {answered}" if answered else type(error).__name__
        say(f"warning: DARKROOM_WEBHOOK_URL at {urlsplit(url).hostname} was not told: {problem}")
