"""Whether a server answers, asked before anything is done that would be lost."""

from pipeline_config.errors import Unreachable

_SECONDS = 5


def check_answers(url: str, setting: str, mend: str) -> None:
    """Ask a URL once.

    Args:
        url: of the server's health page.
        setting: what named the server, as `MLFLOW_TRACKING_URI=http://…`.
        mend: what the user can do, for the message.

    Raises:
        Unreachable: no answer within five seconds, or one that is not a success.
    """
    import httpx

    try:
        answer = httpx.get(url, timeout=_SECONDS)
        problem = None if answer.is_success else f"it answered {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        problem = str(error) or type(error).__name__
    if problem:
        raise Unreachable(f"{setting}: expected a server that answers at {url}; received: {problem}; {mend}")
