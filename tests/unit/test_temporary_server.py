"""The temporary server's database: transactions that meet in it all come through."""

import asyncio
import gc
import time

import pytest
import sqlalchemy as sa
from prefect.settings import get_current_settings

from flows.prefect_server import without_heartbeats
from flows.temporary_server import QueuedRequests

NUMBERS = sa.Table("numbers", sa.MetaData(), sa.Column("value", sa.Integer))


async def count_up(databases: list[QueuedRequests], times: int) -> int:
    """Raise a number by one in so many transactions at once of each, which read it before they write it."""
    async with (await databases[0].engine()).begin() as connection:
        await connection.run_sync(NUMBERS.create)
        await connection.execute(NUMBERS.insert().values(value=0))

    async def count(database: QueuedRequests) -> None:
        async with (
            await database.session(await database.engine()) as session,
            database.begin_transaction(session),
        ):
            value = await session.scalar(sa.select(NUMBERS.c.value))
            await asyncio.sleep(0)
            await session.execute(NUMBERS.update().values(value=value + 1))

    await asyncio.gather(*(count(database) for database in databases * times))
    async with (await databases[0].engine()).begin() as connection:
        return await connection.scalar(sa.select(NUMBERS.c.value))


async def leave_a_cursor(database: QueuedRequests) -> None:
    """One in mid-statement on a request's connection, that only Python's collector can find."""
    async with await database.session(await database.engine()) as session:
        connection = await (await session.connection()).get_raw_connection()
        cursor = await connection.driver_connection.execute("SELECT 1 UNION ALL SELECT 2")
        await cursor.fetchone()
        left = [cursor]
        left.append(left)


async def collect_while_one_waits(database: QueuedRequests) -> float:
    """Seconds that the collector takes in the event loop during a transaction for which another one waits."""
    await count_up([database], 1)
    await asyncio.gather(leave_a_cursor(database), leave_a_cursor(database))

    async def write() -> None:
        async with await database.session(await database.engine()) as other, database.begin_transaction(other):
            await other.execute(NUMBERS.insert().values(value=1))

    async with await database.session(await database.engine()) as session, database.begin_transaction(session):
        await session.execute(NUMBERS.insert().values(value=1))
        waiting = asyncio.create_task(write())
        assert await asyncio.wait([waiting], timeout=0.3) == (set(), {waiting})
        started = time.monotonic()
        gc.collect()
        seconds = time.monotonic() - started
    await waiting
    return seconds


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def address(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/prefect.db"


def test_transactions_wait_for_one_another_on_one_connection(address):
    """None waits within SQLite, where it would hold a lock for which the event loop may come to wait."""
    opened = []

    async def count_and_look() -> int:
        database = QueuedRequests(address)
        sa.event.listen((await database.engine()).sync_engine, "connect", lambda *connection: opened.append(connection))
        return await count_up([database], 12)

    assert asyncio.run(count_and_look()) == 12
    assert len(opened) == 1


@pytest.mark.usefixtures("without_collector")
def test_the_collector_does_not_stop_the_event_loop_while_a_transaction_waits(address):
    """With a connection for each request it would, for a minute, until SQLite gives up."""
    assert asyncio.run(collect_while_one_waits(QueuedRequests(address))) < 20


def test_transactions_wait_for_those_of_another_server_at_the_same_file(address):
    """As the server of another command in the same home is one."""
    assert asyncio.run(count_up([QueuedRequests(address, timeout=1), QueuedRequests(address, timeout=2)], 6)) == 12


def test_flows_that_nobody_hears_have_no_heartbeats():
    with without_heartbeats():
        assert get_current_settings().flows.heartbeat_frequency is None
    assert get_current_settings().flows.heartbeat_frequency
