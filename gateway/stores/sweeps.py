"""Remembers the progress of the sweep of all projects, so that gateways share it."""

from __future__ import annotations

import uuid

from gateway.engines.postgres.database import Database

_FIRST = uuid.UUID(int=0)


class SweepStore:
    """One gateway at a time does the sweep. Another one that takes over continues where the first stopped."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, every_seconds: float, silent_seconds: float) -> bool:
        """True if this gateway shall sweep: the last sweep, or its gateway's last progress, is this long ago."""
        async with self._database.acquire() as connection:
            begun: bool | None = await connection.fetchval(
                """
                INSERT INTO sweeps (after, worked_at)
                VALUES ($1, now())
                ON CONFLICT (is_only) DO UPDATE
                SET after = CASE WHEN sweeps.ended_at IS NULL THEN sweeps.after ELSE excluded.after END,
                    worked_at = now(),
                    ended_at = NULL
                WHERE CASE
                    WHEN sweeps.ended_at IS NULL THEN sweeps.worked_at <= now() - make_interval(secs => $3)
                    ELSE sweeps.ended_at <= now() - make_interval(secs => $2)
                END
                RETURNING is_only
                """,
                _FIRST,
                every_seconds,
                silent_seconds,
            )
        return begun is not None

    async def projects(self, limit: int) -> list[uuid.UUID]:
        """The next projects. Empty: all are done."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT id
                FROM projects
                WHERE id > (SELECT after FROM sweeps)
                ORDER BY id
                LIMIT $1
                """,
                limit,
            )
        return [row["id"] for row in rows]

    async def advance(self, after: uuid.UUID) -> None:
        """Note that the projects up to this one are done."""
        async with self._database.acquire() as connection:
            await connection.execute("UPDATE sweeps SET after = $1, worked_at = now()", after)

    async def end(self) -> None:
        async with self._database.acquire() as connection:
            await connection.execute("UPDATE sweeps SET ended_at = now()")
