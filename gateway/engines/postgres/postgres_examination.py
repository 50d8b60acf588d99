"""The doctor's examination of PostgreSQL: a row is written, read and deleted; migrations that a start would apply are
named."""

from __future__ import annotations

import time
import uuid

from builder.protocol.lines import Line, LineBatch
from builder.protocol.steps import Step, Stream
from gateway.config.resources import migrations_folder
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_migrations import check_encoding, describe_missing, missing_migrations
from gateway.engines.postgres.postgres_url import describe_url
from gateway.errors import ConfigError, Unavailable
from gateway.models.log import LogPosition
from gateway.roles import LogStore


async def examine_postgres(database: Database) -> str:
    """Uses a temporary table. Raises ConfigError or Unavailable."""
    async with database.transaction() as connection:
        await connection.execute("CREATE TEMPORARY TABLE doctor (value text) ON COMMIT DROP")
        await connection.execute("INSERT INTO doctor (value) VALUES ($1)", "written")
        read = await connection.fetchval("SELECT value FROM doctor")
        await connection.execute("DELETE FROM doctor")
        version: str = await connection.fetchval("SHOW server_version")
        await check_encoding(connection)
        may_create: bool | None = await connection.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    if read != "written":
        raise Unavailable("It did not return what was written: its storage is damaged. Restore a backup.")
    missing = await missing_migrations(database, migrations_folder())
    if missing and not may_create:
        raise ConfigError(
            f"{describe_missing(missing)}, and this user may not: GRANT CREATE ON SCHEMA public to it,"
            " or run `buildspace migrate` as one that may."
        )
    which = "embedded" if database.is_embedded else describe_url(database.url)
    if database.is_pooled:
        which += ", through a pooler (other gateways' changes show only after sites.pointer_seconds)"
    return f"PostgreSQL {version}, {which}; written, read, deleted; {describe_missing(missing)}."


async def examine_postgres_logs(logs: LogStore, database: Database) -> str:
    """Raises ConfigError or Unavailable."""
    if await missing_migrations(database, migrations_folder()):
        return "in PostgreSQL; nothing was written, because its tables do not have this version's schema yet."
    return await check_logs(logs, database)


async def check_logs(logs: LogStore, database: Database) -> str:
    deployment_id = uuid.uuid4()
    line = Line(int(time.time() * 1000), Stream.SYSTEM, Step.PREPARE, "doctor")
    try:
        await logs.append([LineBatch("doctor", deployment_id, 1, 1, (line,))])
        read = await logs.read(deployment_id, LogPosition(), 10)
    finally:
        async with database.acquire() as connection:
            await connection.execute("DELETE FROM log_batches WHERE deployment_id = $1", deployment_id)
    if [found.text for found in read] != ["doctor"]:
        raise Unavailable("It did not return the line that was written: check the database's log.")
    if await logs.read(deployment_id, LogPosition(), 10):
        raise Unavailable("It still shows a line that was deleted: check the database's log.")
    return "in PostgreSQL; a line written, read, deleted."
