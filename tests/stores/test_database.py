"""The pool: lazy, healing by itself, and its errors in our words."""

import asyncio

import asyncpg
import pytest

from gateway.engines.postgres import database as postgres
from gateway.engines.postgres.database import open_pool
from gateway.errors import ConfigError, Invalid, Unavailable

# What is said here of connections is said of the server's own; test_postgres_pooler.py says it of a pooler's.
pytestmark = pytest.mark.direct


async def end_connections(database):
    """What a restarted server does to whoever is connected."""
    other = await asyncpg.connect(database.url)
    await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'buildspace'")
    await other.close()


@pytest.mark.parametrize("url", ["", "mysql://x", "postgresql://host:port/x", "postgresql://h:99999/x", "/path", "x"])
async def test_what_is_no_url_is_a_config_error(url):
    with pytest.raises(ConfigError, match="postgresql://"):
        async with open_pool(url, 2):
            pass


async def test_opening_connects_to_nothing(tmp_path):
    async with open_pool(f"postgresql://x@/x?host={tmp_path}", 5) as database:
        for _ in range(2):
            with pytest.raises(Unavailable, match="cannot be reached: No such file or directory"):
                async with database.acquire():
                    pass


async def test_a_refused_connection_is_unavailable():
    sentence = r"The database at 127\.0\.0\.1:1 cannot be reached: Connection refused\. .*DATABASE_URL"
    async with open_pool("postgresql://x:secret@127.0.0.1:1/x", 2) as database:
        with pytest.raises(Unavailable, match=sentence):
            async with database.acquire():
                pass


async def test_an_unknown_database_is_a_sentence(postgres):
    async with open_pool(postgres.url_of("nothing"), 2) as database:
        with pytest.raises(Unavailable, match=r"not have the database that postgres\.url names"):
            async with database.acquire():
                pass


async def test_a_database_without_tables_is_a_sentence(postgres):
    async with open_pool(await postgres.create_empty_database(), 2) as database:
        with pytest.raises(Unavailable, match="not prepared"):
            async with database.acquire() as connection:
                await connection.fetch("SELECT * FROM projects")


async def answer(database):
    try:
        async with database.acquire() as connection:
            return await connection.fetchval("SELECT 1")
    except Unavailable:  # a connection that was handed out before the news of its end arrived
        return None


async def test_the_pool_heals_after_its_connections_were_cut(database):
    async with database.acquire() as one, database.acquire() as two:
        await one.execute("SELECT 1")
        await two.execute("SELECT 1")
    await end_connections(database)
    answers = [await answer(database) for _ in range(6)]
    assert answers[3:] == [1, 1, 1]


async def in_transaction(database, *work):
    async with database.transaction() as connection:
        for each in work:
            await each(connection)


def run(query, **options):
    return lambda connection: connection.execute(query, **options)


async def test_a_connection_that_is_cut_in_use_is_unavailable(database):
    with pytest.raises(Unavailable):
        await in_transaction(database, lambda _: end_connections(database), run("SELECT 1"))
    await in_transaction(database, run("SELECT 1"))


async def test_a_query_that_takes_too_long_is_unavailable(database):
    with pytest.raises(Unavailable):
        await in_transaction(database, run("SET LOCAL statement_timeout = '20ms'"), run("SELECT pg_sleep(5)"))
    with pytest.raises(Unavailable, match="in time"):
        await in_transaction(database, run("SELECT pg_sleep(5)", timeout=0.02))


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("53100", "disk is full"),
        ("53300", "at the moment"),
        ("57P01", "at the moment"),
        ("40P01", "at the moment"),
        ("55P03", "at the moment"),
        ("42501", "GRANT CREATE ON SCHEMA public"),
    ],
)
async def test_what_ails_the_server_is_unavailable(database, state, sentence):
    with pytest.raises(Unavailable, match=sentence):
        await in_transaction(database, run(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$"))


async def test_a_mistake_of_ours_is_not_blamed_on_the_server(database):
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await in_transaction(database, run("SELEKT"))


async def test_settings_do_not_leak_to_the_next_user(postgres):
    async with open_pool(await postgres.create_database(), 1) as database:
        async with database.acquire() as connection:
            await connection.execute("SET statement_timeout = 0")
        async with database.acquire() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "15s"
            assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"


async def test_values_that_cannot_be_stored_are_invalid(database):
    for value in ("a\0b", "\ud800", 7):
        with pytest.raises(Invalid):
            async with database.acquire() as connection:
                await connection.fetchval("SELECT $1::text", value)


async def test_a_block_that_raises_is_rolled_back(database):
    def fail(_):
        raise KeyError

    with pytest.raises(KeyError):
        await in_transaction(database, run("INSERT INTO installation (name, value) VALUES ('x', 'y')"), fail)
    assert await database.pool.fetchval("SELECT count(*) FROM installation") == 0


async def test_a_canceled_transaction_gives_its_connection_back(postgres):
    async with open_pool(await postgres.create_database(), 2) as database:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(in_transaction(database, run("SELECT pg_sleep(5)")), 0.02)
        async with database.transaction() as one, database.transaction() as two:
            assert await one.fetchval("SELECT 1") + await two.fetchval("SELECT 1") == 2


async def test_a_listener_that_lost_its_connection_raises_and_hears_again(database):
    heard, stopping = asyncio.Queue(), asyncio.Event()

    async def listen():
        await database.listen("site_changed", heard.put_nowait, stopping=stopping, progress=lambda: None)

    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(heard.get(), 5) == ""
    await end_connections(database)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(listening, 10)
    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(heard.get(), 5) == ""
    await database.pool.execute("SELECT pg_notify('site_changed', 'red-fox')")
    assert await asyncio.wait_for(heard.get(), 5) == "red-fox"
    stopping.set()
    await asyncio.wait_for(listening, 5)


async def test_who_only_tries_a_lock_does_not_wait_for_a_place(url):
    """A small pool whose places are taken: it is told that the lock is not to be had."""
    async with open_pool(url, 2) as database, database.lock("one"), database.try_lock("two") as is_ours:
        assert is_ours is None


async def test_who_waits_too_long_for_a_place_is_told(url, monkeypatch):
    monkeypatch.setattr(postgres, "LOCK_SECONDS", 0.01)
    async with open_pool(url, 2) as database, database.try_lock("one"):
        with pytest.raises(Unavailable, match=r"postgres\.pool_size"):
            async with database.lock("two"):
                pytest.fail("There was no place.")


@pytest.mark.parametrize(
    ("parameter", "named"),
    [("channel_binding=require", '"channel_binding"'), ("ssl=true", '"ssl"'), ("lock_timeout=soon", '"soon"')],
)
async def test_a_parameter_that_the_server_does_not_take_is_named(url, parameter, named):
    async with open_pool(f"{url}&{parameter}", 2) as database:
        with pytest.raises(Unavailable, match=f"refuses a parameter of postgres.url .*{named}.*leave it out"):
            await in_transaction(database)


@pytest.mark.parametrize(
    "url", ["postgresql://me:12/34@host/name", "postgresql://me:a#b@host/name", "postgresql://me:a?b@host/name"]
)
async def test_a_password_that_is_not_encoded_is_told_how(url):
    with pytest.raises(ConfigError, match="%2F %3F %23") as refused:
        async with open_pool(url, 2):
            pytest.fail("That is no URL.")
    assert "12" not in refused.value.sentence


async def test_a_lock_is_one_holders_at_a_time_and_goes_on_to_the_next(url):
    async with open_pool(url, 4) as one, open_pool(url, 4) as other:
        async with one.lock("x") as held, other.try_lock("x") as not_held, other.try_lock("y") as another:
            await held.check()
            assert (not_held, another is not None) == (None, True)
        async with other.lock("x") as held:
            await held.check()


async def test_many_who_wait_for_one_lock_leave_room_for_those_who_want_another(url):
    async with open_pool(url, 4) as holder, open_pool(url, 4) as database, holder.lock("one"):

        async def wait():
            async with database.lock("one"):
                pytest.fail("It is held.")

        waiting = [asyncio.create_task(wait()) for _ in range(10)]
        async with asyncio.timeout(5), database.lock("another") as held:
            await held.check()
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_holder_that_says_nothing_loses_the_lock_and_is_told(url, monkeypatch):
    """As a gateway that is frozen: the server ends its transaction."""
    monkeypatch.setattr(postgres, "LIMITS", postgres.LIMITS | {"idle_in_transaction_session_timeout": "200ms"})
    async with open_pool(url, 4) as frozen, open_pool(url, 4) as other:
        with pytest.raises(Unavailable, match="lost"):
            async with frozen.lock("x") as held, other.lock("x"):
                await held.check()


async def test_a_holder_that_works_keeps_the_lock(url, monkeypatch):
    monkeypatch.setattr(postgres, "LIMITS", postgres.LIMITS | {"idle_in_transaction_session_timeout": "200ms"})
    monkeypatch.setattr(postgres, "LOCK_HEARTBEAT_SECONDS", 0.05)
    async with open_pool(url, 4) as database, database.lock("x") as held:
        async with database.acquire() as connection:
            await connection.execute("SELECT pg_sleep(0.6)")
        await held.check()
