"""What the doctor says of ClickHouse: a line written, read and deleted in a table that nobody else sees."""

from __future__ import annotations

import secrets
import uuid

from gateway.config import Clickhouse
from gateway.errors import Unavailable
from gateway.migrations_clickhouse import migrate_clickhouse
from gateway.resources import clickhouse_migrations_folder
from gateway.stores.clickhouse import ClickhousePool, open_clickhouse
from gateway.stores.postgres import Database


async def examine_clickhouse(settings: Clickhouse, database: Database) -> str:
    """Raises ConfigError or Unavailable, with what to do."""
    async with open_clickhouse(settings) as pool:
        await migrate_clickhouse(pool, database, clickhouse_migrations_folder())
        ((version,),) = await pool.fetch("SELECT version()")
        await _write_read_delete(pool)
    return (
        f"ClickHouse {version.decode()} at {settings.address}{_about_address(settings)};"
        " a line written, read, deleted; its tables are those of this version."
    )


async def _write_read_delete(pool: ClickhousePool) -> None:
    # A line cannot be deleted from a table of an old ClickHouse: so it is written into one that is dropped as a whole.
    table = f"doctor_{secrets.token_hex(8)}"
    await pool.fetch(f"CREATE TABLE {table} AS log_events")
    try:
        await pool.fetch(
            f"""
            INSERT INTO {table} (deployment_id, attempt, seq, log, received_at)
            SELECT toUUID(%(deployment_id)s), 1, 1, 'doctor', now()
            """,
            {"deployment_id": uuid.uuid4()},
        )
        read = await pool.fetch(f"SELECT log FROM {table}")  # noqa: S608
    finally:
        await pool.fetch(f"DROP TABLE {table}")
    if read != [(b"doctor",)]:
        raise Unavailable("ClickHouse did not give back the line that was written: look at the server's log.")


def _about_address(settings: Clickhouse) -> str:
    tls = " with TLS" if settings.uses_tls else ""
    if "://" not in settings.host:
        return tls
    return (
        f"{tls} (clickhouse.host is a URL, of which the name is taken: the native protocol is used, and its port is"
        " clickhouse.port)"
    )
