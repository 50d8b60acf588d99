"""ClickHouse away, frozen, killed or wrongly configured: nothing hangs, nothing acknowledged is lost, words say why."""

import asyncio
import contextlib
import dataclasses
import socket
import time
import uuid

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.config import Clickhouse, Secret
from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.clickhouse.clickhouse_logs import INSERT, ClickhouseLogStore
from gateway.engines.clickhouse.clickhouse_migrations import migrate_clickhouse
from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse
from gateway.errors import ConfigError, Unavailable
from gateway.models.log import LogPosition
from tests.engines.certificates import make_certificates
from tests.engines.clickhouse import PASSWORD, READER
from tests.engines.gateway import eventually

pytestmark = pytest.mark.direct
BEGINNING = LogPosition()
NEVER_LONGER_SECONDS = 12
"""Three tries to connect, or a query's time limit; a hang would be for ever."""
HELD_SECONDS = 0.05


@pytest.fixture
def server(clickhouse_server):
    yield clickhouse_server
    clickhouse_server.kill()
    clickhouse_server.start()


@contextlib.asynccontextmanager
async def opened(settings, database):
    async with open_clickhouse(settings) as pool:
        folder = clickhouse_migrations_folder()
        yield ClickhouseLogStore(pool, lambda: migrate_clickhouse(pool, database, folder))


@pytest.fixture
async def logs(server, database):
    async with opened(server.settings, database) as logs:
        yield logs


def batch(build, first, count):
    lines = tuple(Line(1000 + seq, "stdout", "build", f"line {seq}") for seq in range(first, first + count))
    return LineBatch("blog", build, 1, first, lines)


async def complaint(settings, database):
    """What `/ready` would say."""
    async with opened(settings, database) as logs:
        with pytest.raises(Unavailable) as caught:
            async with asyncio.timeout(NEVER_LONGER_SECONDS):
                await logs.check()
    assert PASSWORD not in caught.value.sentence
    return caught.value.sentence


async def test_tls_with_the_right_authority_and_a_password_works(server, database):
    async with opened(server.by_tls, database) as logs:
        build = uuid.uuid4()
        await logs.append([batch(build, 1, 3)])
        assert len(await logs.read(build, BEGINNING, 10)) == 3


async def test_https_in_the_host_means_tls(server, database):
    settings = dataclasses.replace(server.by_tls, host="https://localhost:8443", is_tls=False)
    async with opened(settings, database) as logs:
        await logs.check()


async def test_an_authority_that_did_not_sign_is_refused(server, database, tmp_path):
    stranger = make_certificates(tmp_path / "stranger").ca_file
    settings = dataclasses.replace(server.by_tls, ca_file=str(stranger))
    assert "check clickhouse.ca_file" in await complaint(settings, database)
    assert "check clickhouse.ca_file" in await complaint(dataclasses.replace(settings, ca_file=""), database)


async def test_a_certificate_for_another_name_is_refused(server, database):
    settings = dataclasses.replace(server.by_tls, host="127.0.0.1")
    assert "not one for 127.0.0.1" in await complaint(settings, database)


@pytest.mark.parametrize("name", ["empty.crt", "missing.crt"])
async def test_an_authority_that_cannot_be_read_is_a_wrong_configuration(tmp_path, name):
    (tmp_path / "empty.crt").write_text("nothing")
    settings = Clickhouse(host="localhost", is_tls=True, ca_file=str(tmp_path / name))
    with pytest.raises(ConfigError, match=f"{name} is no readable file"):
        await open_clickhouse(settings).__aenter__()


async def test_a_wrong_password_is_told_without_the_password(server, database):
    settings = dataclasses.replace(server.by_tls, password=Secret(PASSWORD + "!"))
    assert "check clickhouse.user and clickhouse.password" in await complaint(settings, database)


async def test_a_user_who_may_only_read_is_told_what_is_needed(server, logs, database):
    await logs.check()
    settings = dataclasses.replace(server.settings, user=READER)
    assert "needs SELECT, INSERT, ALTER, CREATE TABLE and DROP TABLE" in await complaint(settings, database)


@pytest.mark.parametrize(
    ("port", "is_tls", "words"),
    [
        ("http_port", False, "not 8123"),
        ("tls_port", False, "native protocol"),
        ("port", True, "does not speak TLS"),
    ],
)
async def test_a_port_of_another_protocol_is_told(server, database, port, is_tls, words):
    settings = dataclasses.replace(server.settings, port=getattr(server, port), is_tls=is_tls)
    assert words in await complaint(settings, database)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_server_that_accepts_and_says_nothing_does_not_hang(database, is_tls):
    with socket.create_server(("127.0.0.1", 0)) as black_hole:  # the system accepts, nobody reads
        settings = Clickhouse(host="127.0.0.1", port=black_hole.getsockname()[1], is_tls=is_tls)
        assert "cannot be reached" in await complaint(settings, database)


async def test_all_who_wait_for_a_silent_server_are_told_together(database):
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        async with opened(Clickhouse(host="127.0.0.1", port=black_hole.getsockname()[1]), database) as logs:
            async with asyncio.timeout(NEVER_LONGER_SECONDS):
                told = await asyncio.gather(*(logs.check() for _ in range(20)), return_exceptions=True)
    assert {type(error) for error in told} == {Unavailable}


async def test_an_edited_migration_makes_batches_wait_and_is_told(server):
    async def refuse():
        raise ConfigError("The migration 0001_one.sql was edited.")

    async with open_clickhouse(server.settings) as pool:
        with pytest.raises(Unavailable, match="was edited"):
            await ClickhouseLogStore(pool, refuse).append([batch(uuid.uuid4(), 1, 1)])


async def test_a_server_that_freezes_does_not_hang_and_is_used_again(server, logs):
    build = uuid.uuid4()
    await logs.append([batch(build, 1, 3)])
    server.freeze()
    with pytest.raises(Unavailable):
        async with asyncio.timeout(NEVER_LONGER_SECONDS):
            await logs.append([batch(build, 4, 2000)])
    server.thaw()
    await logs.append([batch(build, 4, 2000)])
    assert await logs.missing(build, 1, 2003) == []


async def test_a_server_that_was_started_again_is_used_at_once(server, logs):
    build = uuid.uuid4()
    await asyncio.gather(*(logs.append([batch(build, first, 3)]) for first in (1, 4, 7, 10)))
    server.kill()
    server.start()
    assert len(await logs.read(build, BEGINNING, 100)) == 12


async def test_a_server_that_is_away_is_unavailable_until_it_is_back(server, logs):
    build = uuid.uuid4()
    await logs.append([batch(build, 1, 3)])
    server.kill()
    with pytest.raises(Unavailable, match="cannot be reached"):
        await logs.check()
    with pytest.raises(Unavailable):
        await logs.append([batch(build, 4, 3)])
    server.start()
    await logs.append([batch(build, 4, 3)])
    assert len(await logs.read(build, BEGINNING, 100)) == 6


async def test_kills_in_the_midst_of_appends_lose_nothing_acknowledged_and_double_nothing(server, logs):
    build, acknowledged = uuid.uuid4(), set()

    async def append(first):
        """As the consumer does it: again and again until it is acknowledged."""
        lines = batch(build, first, 100)

        async def accepted():
            with contextlib.suppress(Unavailable):
                await logs.append([lines])
                acknowledged.update(range(first, first + 100))
                return True

        await eventually(accepted, f"lines from {first} are taken")

    async def kill(count):
        for times in range(1, count + 1):
            await eventually(lambda times=times: reached(times * 5000), "lines come in")
            await asyncio.to_thread(server.kill)
            seen.append(len(acknowledged))
            await asyncio.to_thread(server.start)

    async def reached(lines):
        return len(acknowledged) >= lines

    async def writer(begin):
        for first in range(begin, 30_001, 400):
            await append(first)

    seen = []
    await asyncio.gather(kill(4), *(writer(begin) for begin in (1, 101, 201, 301)))
    assert all(5000 <= lines < 30_000 for lines in seen)
    assert await logs.missing(build, 1, 30_000) == []
    shown = await page_by_page(logs, build)
    assert shown == list(range(1, 30_001))


async def page_by_page(logs, build):
    found, position = [], BEGINNING
    while page := await logs.read(build, position, 1000):
        found += [line.seq for line in page]
        position = LogPosition(1, found[-1])
    return found


async def test_lines_that_another_program_wrote_in_no_utf8_are_shown_with_marks(logs, server):
    build = uuid.uuid4()
    await logs.check()
    async with open_clickhouse(server.settings) as pool:
        row = [build], [1], [1], [1], [b"stdout"], [b"build"], [b"caf\xe9 \xff"], [1_772_500_000]
        await pool.insert(INSERT, [list(column) for column in row])
    assert [line.text for line in await logs.read(build, BEGINNING, 10)] == ["caf\ufffd \ufffd"]


async def test_a_line_has_the_id_that_is_derived_from_its_place(logs, server):
    build = uuid.uuid4()
    await logs.append([batch(build, 1, 300)])
    async with open_clickhouse(server.settings) as pool:
        query = "SELECT event_id FROM log_events WHERE deployment_id = toUUID(%(build)s) ORDER BY seq"
        found = [event_id for (event_id,) in await pool.fetch(query, {"build": build})]
    assert found == [uuid.uuid5(build, f"1/{seq}") for seq in range(1, 301)]


async def test_tables_that_are_gone_are_made_anew(server, logs, database):
    await logs.check()
    async with open_clickhouse(server.settings) as pool:
        await pool.fetch("DROP TABLE log_events")
        await pool.fetch("DROP TABLE migrations")
    with pytest.raises(Unavailable, match="buildspace migrate"):
        await logs.check()
    await logs.check()


async def test_a_table_that_is_gone_is_made_anew_though_its_making_is_recorded(server, logs, database):
    await logs.check()
    async with open_clickhouse(server.settings) as pool:
        await pool.fetch("DROP TABLE log_events")
    with pytest.raises(Unavailable, match="buildspace migrate"):
        await logs.check()
    await logs.check()


async def test_a_call_that_is_given_up_leaves_the_others_in_order(server):
    async with open_clickhouse(dataclasses.replace(server.settings, connections=1)) as pool:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await pool.fetch("SELECT sleep(1)")
        assert await pool.fetch("SELECT 1") == [(1,)]


async def test_no_more_queries_run_at_once_than_connections_are_allowed(server):
    running = "SELECT count(), sleep(0.05) FROM system.processes"
    async with open_clickhouse(dataclasses.replace(server.settings, connections=2)) as pool:
        answers = await asyncio.gather(*(pool.fetch(running) for _ in range(20)))
    assert max(count for ((count, _),) in answers) <= 2


async def test_an_append_of_50000_lines_does_not_hold_the_loop(logs):
    """Held is the time that this thread computes between two turns of the loop: other programs do not count."""
    await logs.check()
    batches = [batch(uuid.uuid4(), 1, 500) for _ in range(100)]
    appending = asyncio.ensure_future(logs.append(batches))
    longest, turns, before = 0.0, 0, time.thread_time()
    while not appending.done():
        await asyncio.sleep(0)
        longest, turns, before = max(longest, time.thread_time() - before), turns + 1, time.thread_time()
    await appending
    assert turns > 50
    assert longest < HELD_SECONDS
