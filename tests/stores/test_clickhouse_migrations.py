"""The migrations of ClickHouse: each once, recorded after success, never edited, harmless side by side."""

import asyncio

import pytest

from gateway.config import Clickhouse
from gateway.engines.clickhouse.clickhouse_logs import ClickhouseLogStore
from gateway.engines.clickhouse.clickhouse_migrations import migrate_clickhouse, missing_clickhouse_migrations
from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse
from gateway.errors import ConfigError, Unavailable
from tests.engines.clickhouse import READER
from tests.engines.ports import free_ports

pytestmark = pytest.mark.direct
TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE IF NOT EXISTS one (id UInt8) ENGINE = Log")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE IF NOT EXISTS two (id UInt8) ENGINE = Log")
    return tmp_path


async def tables(pool):
    return [name.decode() for (name,) in await pool.fetch(TABLES)]


async def test_each_file_is_applied_once_in_a_database_that_is_made(clickhouse_pool, database, folder):
    assert await migrate_clickhouse(clickhouse_pool, database, folder) == ["0001_one.sql", "0002_two.sql"]
    assert await migrate_clickhouse(clickhouse_pool, database, folder) == []
    assert await tables(clickhouse_pool) == ["migrations", "one", "two"]


async def test_of_many_gateways_one_applies(clickhouse_pool, database, folder):
    applied = await asyncio.gather(*(migrate_clickhouse(clickhouse_pool, database, folder) for _ in range(5)))
    assert sorted(map(len, applied)) == [0, 0, 0, 0, 2]


async def test_an_edited_file_is_refused(clickhouse_pool, database, folder):
    await migrate_clickhouse(clickhouse_pool, database, folder)
    (folder / "0001_one.sql").write_text("CREATE TABLE IF NOT EXISTS three (id UInt8) ENGINE = Log")
    with pytest.raises(ConfigError, match=r"0001_one\.sql was edited"):
        await migrate_clickhouse(clickhouse_pool, database, folder)
    assert "three" not in await tables(clickhouse_pool)


async def test_a_database_of_a_newer_version_is_refused_and_let_be(clickhouse_pool, database, folder):
    await migrate_clickhouse(clickhouse_pool, database, folder)
    (folder / "0002_two.sql").unlink()
    (folder / "0003_three.sql").write_text("CREATE TABLE IF NOT EXISTS three (id UInt8) ENGINE = Log")
    with pytest.raises(ConfigError, match=r"newer version of Buildspace: it has the migration 0002_two\.sql"):
        await migrate_clickhouse(clickhouse_pool, database, folder)
    with pytest.raises(ConfigError, match="newer version"):
        await missing_clickhouse_migrations(clickhouse_pool, folder)
    assert "three" not in await tables(clickhouse_pool)


async def test_an_edited_file_is_what_ready_says(clickhouse_pool, database, folder):
    await migrate_clickhouse(clickhouse_pool, database, folder)
    (folder / "0002_two.sql").write_text("CREATE TABLE IF NOT EXISTS three (id UInt8) ENGINE = Log")
    logs = ClickhouseLogStore(clickhouse_pool, lambda: migrate_clickhouse(clickhouse_pool, database, folder))
    with pytest.raises(Unavailable, match=r"^The migration 0002_two\.sql was edited after this database applied it\."):
        await logs.check()


async def test_a_file_that_fails_is_not_recorded_and_can_be_corrected(clickhouse_pool, database, folder):
    (folder / "0003_three.sql").write_text("CREATE TABLE three (id NoSuchType) ENGINE = Log")
    with pytest.raises(Unavailable, match="ClickHouse"):
        await migrate_clickhouse(clickhouse_pool, database, folder)
    (folder / "0003_three.sql").write_text("CREATE TABLE IF NOT EXISTS three (id UInt8) ENGINE = Log")
    assert await migrate_clickhouse(clickhouse_pool, database, folder) == ["0003_three.sql"]


async def test_a_file_whose_record_was_cut_off_is_applied_again(clickhouse_pool, database, folder):
    await migrate_clickhouse(clickhouse_pool, database, folder)
    await clickhouse_pool.fetch("DROP TABLE migrations")
    assert await migrate_clickhouse(clickhouse_pool, database, folder) == ["0001_one.sql", "0002_two.sql"]


async def test_a_user_who_may_not_make_the_database_is_told_so(clickhouse_server, database, folder):
    settings = Clickhouse(host="127.0.0.1", port=clickhouse_server.port, user=READER, database="nowhere")
    async with open_clickhouse(settings) as pool:
        with pytest.raises(ConfigError, match=r"no database nowhere.*CREATE DATABASE nowhere"):
            await migrate_clickhouse(pool, database, folder)


async def test_a_server_that_is_away_is_unavailable(database, folder):
    async with open_clickhouse(Clickhouse(host="127.0.0.1", port=free_ports(1)[0])) as pool:
        with pytest.raises(Unavailable, match=r"cannot be reached.*clickhouse\.port"):
            await migrate_clickhouse(pool, database, folder)
