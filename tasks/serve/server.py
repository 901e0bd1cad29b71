"""A page on a port of this machine, until Ctrl-C."""

import socket
from typing import TYPE_CHECKING, Any

from pipeline_config.errors import ConfigurationError
from tasks.serve.page import style, theme

if TYPE_CHECKING:
    import gradio

MOST_BYTES = 64 * 2**20
"""Of an upload. Larger than what is opened, so that a file of 50 MB is told with its name; more fill the disk."""
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; base-uri 'self'; object-src 'none'; "
    "frame-ancestors 'none'"
)
_SECONDS_TO_END = 1  # open pages hold a connection, which never ends by itself


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address of this machine.
        port: 0 for any that is free.

    Raises:
        ConfigurationError: the port is in use, may not be used, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"expected --host and --port that are free on this machine; {host}:{port} cannot be used: "
            f"{getattr(error, 'strerror', None) or error}; give another --port"
        ) from None


def serve(page: "gradio.Blocks", listening: socket.socket) -> None:
    """Answer until Ctrl-C, which ends it quietly."""
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app = gr.mount_gradio_app(
        app,
        page,
        path="",
        footer_links=[],
        run_history=False,
        max_file_size=MOST_BYTES,
        ssr_mode=False,
        mcp_server=False,
        theme=theme(),
        css=style(),
    )
    config = uvicorn.Config(
        _Confined(app), log_config=None, access_log=False, timeout_graceful_shutdown=_SECONDS_TO_END
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # which uvicorn hands on once all has ended
        return


class _Confined:
    """Tells browsers to ask nothing of other machines for the page, whatever a model card or a library wants."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def confined(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await self._app(scope, receive, confined)
