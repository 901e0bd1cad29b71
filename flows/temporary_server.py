"""What the process of Prefect's temporary server does: `python -m flows.temporary_server PORT`."""

import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import get_current_settings
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class QueuedWriters(AioSqliteConfiguration):
    """SQLite whose transactions wait for one another before they begin, and not when they first write.

    One that has read already cannot write once another has written: SQLite refuses it at once, and Prefect's client
    asks again two seconds later, several times in every run.
    """

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG002 - the signature is Prefect's
    ) -> AsyncGenerator[AsyncSessionTransaction]:
        """As the library's, which does so for rows that are read to be written alone."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def main() -> None:
    """Serve until the process that started this one ends, which closes the pipe that is our standard input."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _queue_writers()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


def _queue_writers() -> None:
    """Prefect has a file in its home, unless the user has named another database."""
    url = get_current_settings().server.database.connection_url
    if url and url.get_secret_value().startswith("sqlite"):
        set_database_config(QueuedWriters(url.get_secret_value()))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
