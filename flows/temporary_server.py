"""What the process of Prefect's temporary server does: `python -m flows.temporary_server PORT`."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from prefect.server.database.configurations import ENGINES, AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import get_current_settings
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, AsyncSessionTransaction, create_async_engine


class QueuedRequests(AioSqliteConfiguration):
    """SQLite on one connection, for which requests wait in the event loop, and not within SQLite.

    With a connection for each, as in the library, one that waits within SQLite for another's transaction holds the lock
    of its connection. Should Python's collector, in the event loop, then come upon a cursor of that connection, the
    event loop waits for that lock, the transaction for the event loop, and the first one, up to a minute, for the
    transaction: no request is answered until SQLite's `busy_timeout` has passed.
    """

    async def engine(self) -> AsyncEngine:
        """As the library's, but of one connection, which it has for a database in memory alone."""
        key = (asyncio.get_running_loop(), self.connection_url, self.echo, self.timeout)
        if key not in ENGINES:
            ENGINES[key] = create_async_engine(self.connection_url, paramstyle="named", pool_size=1, max_overflow=0)
            event.listen(ENGINES[key].sync_engine, "connect", self.setup_sqlite)
            event.listen(ENGINES[key].sync_engine, "begin", self.begin_sqlite_stmt)
            await self.schedule_engine_disposal(key)
        return ENGINES[key]

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG002 - the signature is Prefect's
    ) -> AsyncGenerator[AsyncSessionTransaction]:
        """As the library's for rows that are read to be written: it waits for other processes before it begins.

        One that has read already cannot write once another has written: SQLite refuses it at once, and Prefect's client
        asks again two seconds later.
        """
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def main() -> None:
    """Serve until the process that started this one ends, which closes the pipe that is our standard input."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    queue_requests()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


def queue_requests() -> None:
    """At Prefect's database, which is a file in its home, unless the user has named another."""
    url = get_current_settings().server.database.connection_url
    if url and url.get_secret_value().startswith("sqlite"):
        set_database_config(QueuedRequests(url.get_secret_value()))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
