"""A server that is away: MLflow's and Prefect's clients try again for minutes; what is told when that was in vain."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from pipeline_config.settings import Settings

_MLFLOW = "API request to "
_MLFLOW_SAYS = ("failed with exception", "failed with timeout exception")
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def is_away(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that a server did not answer, or not well, however often it was asked."""
    return _server(error) is not None


def away_sentence(error: BaseException) -> str:
    """What people are told of it."""
    settings = Settings()
    if _server(error) == "prefect":
        named, start = f"PREFECT_API_URL={settings.prefect_server}", "start it with `prefect server start`"
    else:
        named, start = f"MLFLOW_TRACKING_URI={settings.tracking_uri}", "see the server's log, start it"
    return (
        f"{named}: expected the server to answer; received, after trying again for some time: {_detail(error)}; "
        f"{start}, and give the same command again: what is finished is kept"
    )


@contextmanager
def without_patience() -> Iterator[None]:
    """MLflow's client asks once more at most: for what is written down when a run has failed for want of the server."""
    with mock.patch.dict(os.environ, {_RETRIES: "1"}):
        yield


def _server(error: BaseException | None) -> str | None:
    for one in _chain(error):
        if str(one).startswith(_MLFLOW) and any(words in str(one) for words in _MLFLOW_SAYS):
            return "mlflow"
        kind = type(one)
        if kind.__module__.startswith(("httpx", "httpcore")) and kind.__name__ in _CONNECTION_ERRORS:
            return "prefect"
        if kind.__name__ == "PrefectHTTPStatusError" and "Server error '5" in str(one):
            return "prefect"
    return None


_CONNECTION_ERRORS = {"ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "RemoteProtocolError"}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _detail(error: BaseException) -> str:
    """Of MLflow's long message what caused it."""
    told = " ".join(str(error).split()) or type(error).__name__
    if "too many 500 error responses" in told and "mlflow-artifacts" in told:
        return "an error of its artifact store each time"
    for short in ("Connection refused", "too many 503 error responses", "too many 500 error responses", "timed out"):
        if short in told:
            return short
    return told[:300]
