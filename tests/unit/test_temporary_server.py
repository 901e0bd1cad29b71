"""The temporary server's database: transactions that meet in it all come through."""

import asyncio

import pytest
import sqlalchemy as sa
from prefect.settings import get_current_settings

from flows.prefect_server import without_heartbeats
from flows.temporary_server import QueuedWriters


async def count_side_by_side(database: QueuedWriters, times: int) -> int:
    """Raise a number by one in so many transactions at once, each of which reads it before it writes it."""
    engine = await database.engine()
    numbers = sa.Table("numbers", sa.MetaData(), sa.Column("value", sa.Integer))
    async with engine.begin() as connection:
        await connection.run_sync(numbers.create)
        await connection.execute(numbers.insert().values(value=0))

    async def count() -> None:
        async with await database.session(engine) as session, database.begin_transaction(session):
            value = await session.scalar(sa.select(numbers.c.value))
            await asyncio.sleep(0)
            await session.execute(numbers.update().values(value=value + 1))

    await asyncio.gather(*(count() for _ in range(times)))
    async with await database.session(engine) as session:
        return await session.scalar(sa.select(numbers.c.value))


@pytest.fixture
def address(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/prefect.db"


def test_transactions_that_read_before_they_write_wait_for_one_another(address):
    assert asyncio.run(count_side_by_side(QueuedWriters(address), 12)) == 12


def test_flows_that_nobody_hears_have_no_heartbeats():
    with without_heartbeats():
        assert get_current_settings().flows.heartbeat_frequency is None
    assert get_current_settings().flows.heartbeat_frequency
