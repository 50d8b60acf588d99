"""Copies whole tables from one PostgreSQL to another, each within the transaction of the given connection."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence

import asyncpg

from gateway.background import together
from gateway.engines.postgres.database import GATEWAY
from gateway.errors import Conflict

TABLES = (
    "users",
    "projects",
    "data_keys",
    "variables",
    "git_logins",
    "deployments",
    "deployment_variables",
    "attempts",
    "hosts",
    "installation",
    "idempotency_keys",
    "mirrors",
    "sweeps",
    "install_caches",
)
"""In the order of their foreign keys, except for a project's live deployment."""
LOG_TABLE = "log_batches"
COPY_SECONDS = 24 * 3600.0
CHUNKS_AHEAD = 16
IDLE_SECONDS = 15.0
"""A gateway uses its database every two seconds."""


async def check_unused(connection: asyncpg.Connection, which: str, *, is_pooled: bool) -> None:
    """Raises Conflict while a gateway is connected to this database.

    `is_pooled`: a pooler keeps idle connections for a while after a gateway has gone, so those do not count.
    """
    gateways = await connection.fetchval(
        """
        SELECT count(*)
        FROM pg_stat_activity
        WHERE datname = current_database()
            AND application_name = $1
            AND pid <> pg_backend_pid()
            AND (NOT $2 OR state <> 'idle' OR state_change > now() - make_interval(secs => $3))
        """,
        GATEWAY,
        is_pooled,
        IDLE_SECONDS,
    )
    if gateways:
        raise Conflict(
            f"A gateway is using the {which} database, or was a moment ago: its changes would be lost."
            " Stop it first; the new gateway restarts the builds that run."
        )


async def check_same_version(old: asyncpg.Connection, new: asyncpg.Connection) -> None:
    """Raises Conflict unless both have the same tables."""
    read = "SELECT name, sha256 FROM migrations ORDER BY name"
    exists = await old.fetchval("SELECT to_regclass('migrations') IS NOT NULL")
    if not exists or await old.fetch(read) != await new.fetch(read):
        raise Conflict(
            "The old database has another schema version. Migrate it first: `buildspace migrate --config` with the"
            " old configuration."
        )


async def check_empty(connection: asyncpg.Connection) -> None:
    """Raises Conflict for a database that has projects. The install key and token of a first start do not count."""
    if await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM projects) OR EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM mirrors)
        """
    ):
        raise Conflict("The new database is not empty: it has projects. Use an empty one. Nothing was copied.")


async def copy_everything(old: asyncpg.Connection, new: asyncpg.Connection) -> AsyncIterator[tuple[str, int]]:
    """All tables but the logs, with their ids, numbers and tokens. Reports each copied table and its rows."""
    await new.execute("DELETE FROM installation")
    for table in TABLES:
        yield table, await copy_table(old, new, table, _left_out(table))
    await _copy_live(old, new)


async def copy_log_days(old: asyncpg.Connection, new: asyncpg.Connection) -> AsyncIterator[tuple[datetime.date, int]]:
    """The log lines of the old database. Reports each day and its batches once it is copied."""
    for day in await _log_days(old):
        await new.execute("SELECT make_log_partition($1)", day)
        yield day, await copy_table(old, new, f"{LOG_TABLE}_{day:%Y%m%d}")


async def copy_table(old: asyncpg.Connection, new: asyncpg.Connection, table: str, left_out: Sequence[str] = ()) -> int:
    """Copy every row. Returns how many. Holds only a few chunks at a time."""
    columns = [name for name in await _columns(new, table) if name not in left_out]
    chunks: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS_AHEAD)

    async def read() -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        query = f'SELECT {names} FROM "{table}"'  # noqa: S608 - names of our own tables
        await old.copy_from_query(query, output=chunks.put, format="binary", timeout=COPY_SECONDS)
        await chunks.put(None)

    async def arriving() -> AsyncIterator[bytes]:
        while (chunk := await chunks.get()) is not None:
            yield chunk

    async with together() as tasks:
        tasks.create_task(read())
        copied = await new.copy_to_table(
            table, source=arriving(), columns=columns, format="binary", timeout=COPY_SECONDS
        )
    return int(copied.rpartition(" ")[2])


async def _columns(connection: asyncpg.Connection, table: str) -> list[str]:
    rows = await connection.fetch(
        """
        SELECT attname
        FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum
        """,
        table,
    )
    return [row["attname"] for row in rows]


def _left_out(table: str) -> Sequence[str]:
    return ("live_deployment_id",) if table == "projects" else ()


async def _copy_live(old: asyncpg.Connection, new: asyncpg.Connection) -> None:
    """Projects and deployments refer to each other, so the live deployment is set when both are copied."""
    live = await old.fetch("SELECT id, live_deployment_id FROM projects WHERE live_deployment_id IS NOT NULL")
    await new.execute(
        """
        UPDATE projects
        SET live_deployment_id = live.deployment_id
        FROM unnest($1::uuid[], $2::uuid[]) AS live (project_id, deployment_id)
        WHERE projects.id = live.project_id
        """,
        [row["id"] for row in live],
        [row["live_deployment_id"] for row in live],
        timeout=COPY_SECONDS,
    )


async def _log_days(connection: asyncpg.Connection) -> list[datetime.date]:
    rows = await connection.fetch(
        """
        SELECT to_date(right(child.relname, 8), 'YYYYMMDD') AS day
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = to_regclass($1)
        ORDER BY day
        """,
        LOG_TABLE,
    )
    return [row["day"] for row in rows]
