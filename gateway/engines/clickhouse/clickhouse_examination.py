"""The doctor's examination of ClickHouse: a line is written, read and deleted in a table of the doctor's own."""

from __future__ import annotations

import secrets
import uuid

from gateway.config import Clickhouse
from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.clickhouse.clickhouse_migrations import missing_clickhouse_migrations
from gateway.engines.clickhouse.clickhouse_pool import (
    UNKNOWN_DATABASE,
    ClickhouseError,
    ClickhousePool,
)
from gateway.engines.postgres.postgres_migrations import describe_missing
from gateway.errors import Unavailable

# The columns that the doctor's line needs.
COLUMNS = "(deployment_id UUID, attempt UInt16, seq UInt64, log String, received_at DateTime('UTC')) ENGINE = Memory"


async def examine_clickhouse(pool: ClickhousePool) -> str:
    """Raises ConfigError or Unavailable with what to do."""
    settings = pool.settings
    try:
        missing = await missing_clickhouse_migrations(pool, clickhouse_migrations_folder())
    except ClickhouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        return f"ClickHouse at {settings.address}{_about_address(settings)} accepts the user; {error.sentence}"
    ((version,),) = await pool.fetch("SELECT version()")
    await _write_read_delete(pool, COLUMNS if missing else "AS log_events")
    return (
        f"ClickHouse {version.decode()} at {settings.address}{_about_address(settings)};"
        f" a line written, read, deleted; {describe_missing(missing)}."
    )


async def _write_read_delete(pool: ClickhousePool, definition: str) -> None:
    # Old versions of ClickHouse cannot delete a line, so it is written into a table that is dropped as a whole.
    table = f"doctor_{secrets.token_hex(8)}"
    await pool.fetch(f"CREATE TABLE {table} {definition}")
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
        raise Unavailable("ClickHouse did not return the line that was written: check the server's log.")


def _about_address(settings: Clickhouse) -> str:
    tls = " with TLS" if settings.uses_tls else ""
    if "://" not in settings.host:
        return tls
    chosen = "set by clickhouse.port" if settings.port else "the usual one; clickhouse.port sets another"
    return (
        f"{tls} (clickhouse.host is a URL, of which the name is taken: the native protocol is used, on port"
        f" {settings.native_port}, {chosen})"
    )
