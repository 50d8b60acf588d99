"""`buildspace doctor` and `buildspace migrate` where logs are kept in ClickHouse."""

import dataclasses

import pytest

from gateway.cli import main
from gateway.clickhouse_examination import examine_clickhouse
from gateway.config import Clickhouse
from gateway.errors import ConfigError, Unavailable
from gateway.stores.clickhouse import open_clickhouse
from tests.engines.clickhouse import READER
from tests.engines.gateway import free_ports

pytestmark = pytest.mark.direct
TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"


async def test_a_server_that_is_well_is_named_and_left_as_it_was(clickhouse_pool, database):
    settings = clickhouse_pool.settings
    said = await examine_clickhouse(settings, database)
    assert said.startswith("ClickHouse ")
    assert f"at {settings.address}" in said
    assert "written, read, deleted" in said
    assert await clickhouse_pool.fetch(TABLES) == [(b"log_events",), (b"migrations",)]


async def test_a_host_that_is_written_as_a_url_is_explained(clickhouse_server, database):
    settings = dataclasses.replace(clickhouse_server.settings, host="http://127.0.0.1:8123")
    said = await examine_clickhouse(settings, database)
    assert f"127.0.0.1:{clickhouse_server.port} (clickhouse.host is a URL" in said
    assert "with TLS" in await examine_clickhouse(clickhouse_server.by_tls, database)


async def test_a_server_that_is_away_is_told_with_what_to_do(database):
    with pytest.raises(Unavailable, match=r"check clickhouse\.host"):
        await examine_clickhouse(Clickhouse(host="127.0.0.1", port=free_ports(1)[0]), database)


async def test_a_user_who_may_not_write_is_told_what_is_needed(clickhouse_server, database):
    await examine_clickhouse(clickhouse_server.settings, database)
    with pytest.raises((Unavailable, ConfigError), match="needs SELECT, INSERT, ALTER and CREATE TABLE"):
        await examine_clickhouse(dataclasses.replace(clickhouse_server.settings, user=READER), database)


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
    settings = dataclasses.replace(clickhouse_server.by_tls, database="made-by_doctor")
    await examine_clickhouse(settings, database)
    async with open_clickhouse(settings) as pool:
        assert await pool.fetch("SELECT currentDatabase()") == [(b"made-by_doctor",)]
