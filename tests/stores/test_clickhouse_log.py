"""What the gateway's own log says of ClickHouse's errors: what lasts once, what a start puts right not at all."""

import dataclasses
import logging

import pytest

from gateway.config import Secret
from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse
from gateway.errors import Unavailable
from tests.engines.clickhouse import PASSWORD

pytestmark = pytest.mark.direct
WRONG = "SELECT no_such_column FROM system.one"


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


async def refused(pool, query="SELECT 1"):
    with pytest.raises(Unavailable) as caught:
        await pool.fetch(query)
    return caught.value.sentence


async def test_a_wrong_password_is_logged_once_and_names_the_settings(clickhouse_server, logged):
    settings = dataclasses.replace(clickhouse_server.by_tls, password=Secret(PASSWORD + "!"))
    async with open_clickhouse(settings) as pool:
        sentences = {await refused(pool), await refused(pool, "SELECT 2"), await refused(pool)}
    assert sentences == {"ClickHouse refuses the user: check clickhouse.user and clickhouse.password."}
    (line,) = logged()
    assert "check clickhouse.user and clickhouse.password" in line
    assert PASSWORD not in line


async def test_an_error_is_logged_again_once_it_was_gone(clickhouse_server, logged):
    settings = clickhouse_server.by_tls
    async with open_clickhouse(settings) as pool:
        pool.settings = dataclasses.replace(settings, password=Secret("other"))
        await refused(pool)
        pool.settings = settings
        await pool.fetch("SELECT 1")
        pool.close()
        pool.settings = dataclasses.replace(settings, password=Secret("other"))
        await refused(pool)
    assert len(logged()) == 2


async def test_what_one_query_does_not_get_is_logged_once_though_others_succeed(clickhouse_server, logged):
    async with open_clickhouse(clickhouse_server.settings) as pool:
        await refused(pool, WRONG)
        await pool.fetch("SELECT 1")
        await refused(pool, WRONG)
    (line,) = logged()
    assert line.startswith("clickhouse error 47: ClickHouse cannot do this at the moment")
    assert "no_such_column" in line
    assert "Stack trace" not in line


async def test_a_first_migration_logs_no_warning(clickhouse_pool, prepare_clickhouse, logged):
    await prepare_clickhouse()
    assert logged() == []
