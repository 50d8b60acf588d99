"""`buildspace copy projects`: copies everything in PostgreSQL from one server to another, in one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import asyncpg

from gateway.config import Config
from gateway.config.resources import migrations_folder
from gateway.engines import opening
from gateway.engines.databases import reach_database
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_migrations import migrate, migrating
from gateway.errors import ConfigError
from gateway.stores import tables


async def copy_projects(old: Config, new: Config, say: Callable[[str], None]) -> None:
    """Copy projects, deployments, keys and tokens, and log lines if both keep them in PostgreSQL. All or nothing.

    Raises ConfigError if both are one database; Conflict while a gateway uses one of them, and if the new one has
    projects; Unavailable.
    """
    if opening.database_of(old) == opening.database_of(new):
        raise ConfigError("Both configurations use the same database: there is nothing to copy.")
    async with reach_database(old) as source, reach_database(new) as target:
        await migrate(target, migrations_folder())
        say("Copying projects.")
        async with _held(source) as old_connection, _held(target) as new_connection:
            await _check(old_connection, new_connection)
            await tables.check_unused(old_connection, "old", is_pooled=source.is_pooled)
            await tables.check_unused(new_connection, "new", is_pooled=target.is_pooled)
            async for table, rows in tables.copy_everything(old_connection, new_connection):
                say(f"{table}: {rows} rows")
            await _copy_logs(old, new, old_connection, new_connection, say)
    say("Everything is copied. The access token and all sessions are unchanged; the old database was not changed.")


async def _check(old: asyncpg.Connection, new: asyncpg.Connection) -> None:
    await tables.check_same_version(old, new)
    await tables.check_empty(new)


async def _copy_logs(
    old: Config, new: Config, source: asyncpg.Connection, target: asyncpg.Connection, say: Callable[[str], None]
) -> None:
    are_here = {opening.are_logs_in_database(old), opening.are_logs_in_database(new)}
    if are_here == {False}:
        return
    if are_here != {True}:
        say(
            "Logs are not copied here, because one of the two configurations keeps them in ClickHouse:"
            " run `buildspace copy logs`."
        )
        return
    say("Copying the log lines. This may take a while.")
    total = 0
    async for day, rows in tables.copy_log_days(source, target):
        total += rows
        say(f"{tables.LOG_TABLE} of {day}: {rows} rows")
    say(f"{tables.LOG_TABLE}: {total} rows")


@contextlib.asynccontextmanager
async def _held(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A transaction during which no gateway can start on this database, because each migrates first."""
    async with migrating(database) as connection:
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection
