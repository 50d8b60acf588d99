"""`buildspace doctor` and `buildspace migrate` where logs are kept in ClickHouse."""

import dataclasses

import pytest

from gateway.commands.cli import main
from gateway.config import Clickhouse, Config
from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.clickhouse.clickhouse_migrations import CREATE_RECORDS, RECORD, migrate_clickhouse
from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse
from gateway.engines.opening import open_logs
from gateway.errors import ConfigError, Unavailable
from tests.engines.clickhouse import READER
from tests.engines.ports import free_ports

NO_DATABASE = None
"""An examination does not migrate, so it needs none."""
pytestmark = pytest.mark.direct
TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"


@pytest.fixture
async def prepared(clickhouse_pool, prepare_clickhouse):
    """A database as a start leaves it."""
    await prepare_clickhouse()
    return clickhouse_pool


async def examined(settings):
    async with open_logs(Config(clickhouse=settings), NO_DATABASE) as logs:
        return await logs.examine()


async def test_a_server_that_is_well_is_named_and_left_as_it_was(prepared):
    said = await examined(prepared.settings)
    assert said.startswith("ClickHouse ")
    assert f"at {prepared.settings.address}" in said
    assert said.endswith("written, read, deleted; its tables are those of this version.")
    assert await prepared.fetch(TABLES) == [(b"log_events",), (b"migrations",)]


async def test_a_database_without_tables_stays_so_and_the_doctor_says_who_makes_them(clickhouse_pool):
    await clickhouse_pool.create_database()
    said = await examined(clickhouse_pool.settings)
    assert "written, read, deleted; 1 migration is not applied yet; `buildspace serve` applies them at start" in said
    assert await clickhouse_pool.fetch(TABLES) == []


async def test_a_database_that_is_not_there_is_not_made_and_the_doctor_says_who_makes_it(clickhouse_pool):
    name = clickhouse_pool.settings.database
    said = await examined(clickhouse_pool.settings)
    assert f"has no database {name}: `buildspace serve` makes it at start" in said
    with pytest.raises(Unavailable, match=f"no database {name}"):
        await clickhouse_pool.fetch("SELECT 1")


async def test_a_migration_that_was_edited_since_is_told(clickhouse_pool):
    await clickhouse_pool.create_database()
    await clickhouse_pool.fetch(CREATE_RECORDS)
    await clickhouse_pool.insert(RECORD, [["0001_create_log_events.sql"], ["00"], [1]])
    with pytest.raises(ConfigError, match=r"0001_create_log_events\.sql was edited after this database applied it"):
        await examined(clickhouse_pool.settings)


async def test_a_host_that_is_written_as_a_url_is_explained(clickhouse_server):
    settings = dataclasses.replace(clickhouse_server.settings, host="http://127.0.0.1:8123")
    said = await examined(settings)
    assert f"127.0.0.1:{clickhouse_server.port} (clickhouse.host is a URL" in said
    assert f"the native protocol is used, on port {clickhouse_server.port}, set by clickhouse.port)" in said
    assert "with TLS" in await examined(clickhouse_server.by_tls)


async def test_an_https_address_is_looked_for_on_the_usual_port_of_tls():
    with pytest.raises(Unavailable, match=r"at 127\.0\.0\.1:9440"):
        await examined(Clickhouse(host="https://127.0.0.1"))


async def test_a_server_that_is_away_is_told_with_what_to_do():
    with pytest.raises(Unavailable, match=r"check clickhouse\.host"):
        await examined(Clickhouse(host="127.0.0.1", port=free_ports(1)[0]))


async def test_a_user_who_may_not_write_is_told_what_is_needed(clickhouse_server):
    with pytest.raises((Unavailable, ConfigError), match="needs SELECT, INSERT, ALTER, CREATE TABLE and DROP TABLE"):
        await examined(dataclasses.replace(clickhouse_server.settings, user=READER))


@pytest.fixture
def environment(clickhouse_server, shared_url, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", shared_url)
    monkeypatch.setenv("CLICKHOUSE_HOST", "http://127.0.0.1:8123")
    monkeypatch.setenv("BUILDSPACE_CLICKHOUSE_PORT", str(clickhouse_server.port))
    monkeypatch.setenv("CLICKHOUSE_DATABASE", "by_command")


def test_migrate_prepares_clickhouse_too_and_doctor_examines_it(environment, capsys):
    assert main(["migrate"]) == 0
    assert "Applied 0001_create_log_events.sql" in capsys.readouterr().out
    assert main(["migrate"]) == 0
    assert "up to date" in capsys.readouterr().out
    main(["doctor"])
    assert "ok    log store: ClickHouse 18.16" in capsys.readouterr().out


def test_migrate_says_that_clickhouse_is_away(environment, monkeypatch, capsys):
    monkeypatch.setenv("BUILDSPACE_CLICKHOUSE_PORT", str(free_ports(1)[0]))
    assert main(["migrate"]) == 1
    assert "ClickHouse cannot be reached" in capsys.readouterr().err


async def test_the_database_is_made_for_a_password_and_name_with_signs(clickhouse_server, database):
    settings = dataclasses.replace(clickhouse_server.by_tls, database="made-by_migrate")
    async with open_clickhouse(settings) as pool:
        await migrate_clickhouse(pool, database, clickhouse_migrations_folder())
        assert await pool.fetch("SELECT currentDatabase()") == [(b"made-by_migrate",)]
