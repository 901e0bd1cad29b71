"""An S3-compatible store in memory, which refuses writes when it is told to: `python object_store.py PORT`.

`POST /-/refuse?writes=N` has it answer the next N uploads with 403, which a client of S3 does not try again by itself.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs


class Refusing:
    """A WSGI application that lets some uploads fail."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application, self._left = application, 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        if environ["PATH_INFO"] == "/-/refuse":
            told, self._left = self._left, int(parse_qs(environ["QUERY_STRING"])["writes"][0])
            start_response("200 OK", [])
            return [str(told).encode()]  # how many are left of those asked for before
        if environ["REQUEST_METHOD"] == "PUT" and self._left > 0 and environ["PATH_INFO"].count("/") > 1:
            self._left -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>told to</Message></Error>"]
        return self._application(environ, start_response)


def main(port: str) -> None:
    """Serve until a signal comes."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    store = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", int(port), Refusing(store), threaded=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
