"""Applies the files of sql/clickhouse in order: one statement each, harmless when repeated, recorded after success."""

from __future__ import annotations

import logging
import re
import time
from importlib.resources.abc import Traversable
from pathlib import Path

from gateway.engines.clickhouse.clickhouse_pool import UNKNOWN_DATABASE, UNKNOWN_TABLE, ClickhouseError, ClickhousePool
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_migrations import Migration, check_known, fresh_of, read_migrations
from gateway.errors import ConfigError

log = logging.getLogger(__name__)

LOCK = "clickhouse migrations"
CREATE_RECORDS = """
CREATE TABLE IF NOT EXISTS migrations (
    name String,
    sha256 String,
    applied_at DateTime('UTC')
)
ENGINE = MergeTree()
ORDER BY name
"""
READ_RECORDS = """
SELECT
    name,
    sha256
FROM migrations
"""
TABLES = """
SELECT name
FROM system.tables
WHERE database = currentDatabase()
"""
MADE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
RECORD = """
INSERT INTO migrations (
    name,
    sha256,
    applied_at
)
VALUES
"""


async def migrate_clickhouse(pool: ClickhousePool, database: Database, folder: Traversable | Path) -> list[str]:
    """Apply what is not applied yet and return its names, one gateway at a time. Creates the database if it is missing.

    ClickHouse has no transactions: a file that was cut off is applied again, so each one says IF NOT EXISTS. Raises
    ConfigError for a file that differs from what was applied and for a database of a newer version, Unavailable when a
    server is away.
    """
    migrations = read_migrations(folder)
    await _reach(pool)
    async with database.lock(LOCK):
        await _make_records(pool)
        fresh = await _find_fresh(pool, migrations)
        for migration in fresh:
            await _apply(pool, migration)
        return [migration.name for migration in fresh]


async def missing_clickhouse_migrations(pool: ClickhousePool, folder: Traversable | Path) -> list[str]:
    """What `migrate_clickhouse` would apply to an existing database; nothing is changed. Raises what that raises."""
    migrations = read_migrations(folder)
    try:
        fresh = await _find_fresh(pool, migrations)
    except ClickhouseError as error:
        if error.code != UNKNOWN_TABLE:
            raise
        fresh = migrations
    return [migration.name for migration in fresh]


async def _read_applied(pool: ClickhousePool) -> dict[str, bytes]:
    return {name.decode(): bytes.fromhex(sha256.decode()) for name, sha256 in await pool.fetch(READ_RECORDS)}


async def _find_fresh(pool: ClickhousePool, migrations: list[Migration]) -> list[Migration]:
    """The migrations that are not applied, or all of them if a table was dropped: the records outlive it."""
    applied = await _read_applied(pool)
    check_known(migrations, applied)
    fresh = fresh_of(migrations, applied)
    there = {name.decode() for (name,) in await pool.fetch(TABLES)}
    made = {name for migration in migrations if migration not in fresh for name in MADE.findall(migration.sql)}
    return fresh if made <= there else migrations


async def _reach(pool: ClickhousePool) -> None:
    """Reports that ClickHouse is away before PostgreSQL is asked for the lock, so that both outages become visible."""
    try:
        await pool.fetch("SELECT 1")
    except ClickhouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise


async def _make_records(pool: ClickhousePool) -> None:
    try:
        await pool.fetch(CREATE_RECORDS)
    except ClickhouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        await _make_database(pool)
        await pool.fetch(CREATE_RECORDS)


async def _make_database(pool: ClickhousePool) -> None:
    name = pool.settings.database
    try:
        await pool.create_database()
    except ClickhouseError as error:
        raise ConfigError(
            f"ClickHouse has no database {name}, and the user {pool.settings.user} could not make it."
            f" Make it (CREATE DATABASE {name}), or set clickhouse.database to another."
        ) from error
    log.info("clickhouse database made: %s", name)


async def _apply(pool: ClickhousePool, migration: Migration) -> None:
    await pool.fetch(migration.sql)
    await pool.insert(RECORD, [[migration.name], [migration.sha256.hex()], [int(time.time())]])
    log.info("clickhouse migration applied: %s", migration.name)
