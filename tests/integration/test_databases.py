"""A command reaches the embedded database whether a gateway runs or not, and leaves it as it found it."""

import pytest

from gateway.config import Config, Data
from gateway.engines.data_directory import lock_data_directory
from gateway.engines.databases import is_postgres_running, reach_database
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from gateway.errors import ConfigError


@pytest.fixture
def config(tmp_path):
    return Config(data=Data(str(tmp_path)))


async def answer_of(config):
    async with reach_database(config) as database:
        return await database.pool.fetchval("SELECT 1")


async def test_the_server_of_a_running_gateway_is_borrowed(config):
    with lock_data_directory(config.data_directory):
        async with EmbeddedPostgres(config.data_directory):
            assert await answer_of(config) == 1
            assert is_postgres_running(config.data_directory)


async def test_a_server_that_a_killed_command_has_left_ends_with_the_next_command(config):
    left = EmbeddedPostgres(config.data_directory)
    await left.start()
    try:
        assert await answer_of(config) == 1
        assert not is_postgres_running(config.data_directory)
    finally:
        await left.stop()


async def test_a_gateway_that_has_no_server_yet_is_named(config):
    with lock_data_directory(config.data_directory), pytest.raises(ConfigError, match="Another Buildspace"):
        await answer_of(config)
