"""PostgreSQL behind pgbouncer in transaction mode. That all stores work so is shown by the fixture `way`."""

import asyncio
import itertools

import asyncpg
import pytest

from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.errors import Unavailable
from tests.engines.gateway import eventually
from tests.engines.pgbouncer import running_pgbouncer
from tests.engines.postgres import MIGRATIONS


@pytest.fixture(scope="module")
def pooler(postgres):
    with running_pgbouncer(postgres.url) as pooler:
        yield pooler


@pytest.fixture
async def name(postgres):
    return (await postgres.create_empty_database()).split("?")[0].rpartition("/")[2]


@pytest.fixture
async def pooled(pooler, name):
    async with open_pool(pooler.url_of(name), 6, is_pooled=True) as database:
        yield database


async def test_whoever_forgets_to_say_so_is_told_the_setting(pooler, name):
    async with open_pool(pooler.url_of(name), 2) as database:
        with pytest.raises(Unavailable, match=r"set postgres\.is_pooled = true"):
            async with database.acquire():
                pass


@pytest.mark.parametrize("state", ["26000", "42P05"])
async def test_a_statement_that_another_server_does_not_know_is_told_so_too(pooled, state):
    with pytest.raises(Unavailable, match=r"set postgres\.is_pooled = true"):
        async with pooled.acquire() as connection:
            await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")


async def test_many_gateways_migrate_through_it_at_once(pooler, name):
    async def start():
        async with open_pool(pooler.url_of(name), 3, is_pooled=True) as database:
            return await migrate(database, MIGRATIONS)

    applied = await asyncio.gather(*(start() for _ in range(5)))
    assert sorted(itertools.chain(*applied)) == sorted(path.name for path in MIGRATIONS.iterdir())


async def test_the_lock_of_a_name_is_held_by_one_and_ends_with_its_block(pooled, pooler, name):
    inside, most = 0, 0

    async def work(database):
        nonlocal inside, most
        async with database.lock("project 1"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async with open_pool(pooler.url_of(name), 6, is_pooled=True) as other:
        await asyncio.gather(*(work(database) for database in (pooled, other) for _ in range(5)))
    assert most == 1


async def test_a_transaction_has_the_limits_and_leaves_none_of_its_own_behind(pooled, postgres, name):
    async with pooled.transaction() as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "15s"
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"
    async with pooled.lock("x"):
        pass
    async with pooled.acquire() as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "0"
    assert await sessions(postgres, name, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def sessions(postgres, name, query):
    connection = await asyncpg.connect(postgres.url_of(name))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_query_that_takes_too_long_ends_on_the_server_too(pooled, postgres, name):
    with pytest.raises(Unavailable, match="in time"):
        async with pooled.acquire() as connection:
            await connection.execute("SELECT pg_sleep(600)", timeout=0.2)
    count = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"

    async def is_over():
        return await sessions(postgres, name, count) == 0

    await eventually(is_over, "the query ends", 10)


async def test_what_was_asked_of_one_server_is_never_answered_by_another(pooled):
    async def ask(number):
        async with pooled.acquire() as connection:
            return await connection.fetchval(f"SELECT $1::int + {number}", number)

    assert await asyncio.gather(*(ask(number) for number in range(200))) == [2 * number for number in range(200)]


async def test_the_pool_heals_after_the_pooler_was_killed(pooled, pooler):
    async with pooled.acquire() as connection:
        await connection.execute("SELECT 1")
    pooler.kill()
    with pytest.raises(Unavailable):
        async with pooled.acquire() as connection:
            await connection.execute("SELECT 1")
    pooler.start()
    async with pooled.acquire() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_nobody_listens_through_a_pooler_and_the_job_is_well(pooled, postgres, name):
    stopping, heard, progress = asyncio.Event(), [], []
    job = asyncio.create_task(
        pooled.listen("site_changed", heard.append, stopping=stopping, progress=lambda: progress.append(1))
    )
    await asyncio.sleep(0)
    listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    assert await sessions(postgres, name, listeners) == 0
    stopping.set()
    await asyncio.wait_for(job, 5)
    assert (heard, progress) == ([], [1])
