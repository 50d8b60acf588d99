"""Remembers which installations are saved, and when each was used."""

from __future__ import annotations

import dataclasses
import uuid

import asyncpg

from gateway.engines.postgres.database import Database
from gateway.errors import Conflict, NotFound


@dataclasses.dataclass(frozen=True, slots=True)
class CacheEntry:
    """`sha256` is the digest of its bytes, by which the object store has them."""

    project_id: uuid.UUID
    sha256: str
    bytes: int


class InstallCacheStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def use(self, project_id: uuid.UUID, key: str) -> CacheEntry:
        """The entry, which counts as used now. Raises NotFound."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                UPDATE install_caches
                SET used_at = now()
                WHERE project_id = $1 AND key = $2
                RETURNING project_id, sha256, bytes
                """,
                project_id,
                key,
            )
        if row is None:
            raise NotFound("Nothing is saved for this lockfile.")
        return CacheEntry(**row)

    async def put(self, key: str, entry: CacheEntry) -> None:
        """Adds it, or replaces the one with this key. Raises Conflict if the project is gone."""
        async with self._database.acquire() as connection:
            try:
                await connection.execute(
                    """
                    INSERT INTO install_caches (project_id, key, sha256, bytes)
                    VALUES ($1, $2, $3, $4)
                    ON CONFLICT (project_id, key) DO UPDATE
                    SET sha256 = $3,
                        bytes = $4,
                        used_at = now()
                    """,
                    entry.project_id,
                    key,
                    entry.sha256,
                    entry.bytes,
                )
            except asyncpg.ForeignKeyViolationError as error:
                raise Conflict("This project is gone.") from error

    async def evict(self, project_bytes: int, all_bytes: int) -> list[CacheEntry]:
        """Forgets what was used least recently, beyond these bytes of a project and of all. Returns what it forgot."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                DELETE FROM install_caches
                USING (
                    SELECT
                        project_id,
                        key,
                        sum(bytes) OVER (PARTITION BY project_id ORDER BY used_at DESC, key) AS of_project,
                        sum(bytes) OVER (ORDER BY used_at DESC, project_id, key) AS of_all
                    FROM install_caches
                ) AS counted
                WHERE install_caches.project_id = counted.project_id
                    AND install_caches.key = counted.key
                    AND (counted.of_project > $1 OR counted.of_all > $2)
                RETURNING install_caches.project_id, install_caches.sha256, install_caches.bytes
                """,
                project_bytes,
                all_bytes,
            )
        return [CacheEntry(**row) for row in rows]

    async def hashes(self, project_id: uuid.UUID) -> set[str]:
        """The digests of what is saved for a project."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch("SELECT sha256 FROM install_caches WHERE project_id = $1", project_id)
        return {row["sha256"] for row in rows}

    async def clear(self, project_id: uuid.UUID) -> list[CacheEntry]:
        """Forgets all entries of a project. Returns what it forgot."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                "DELETE FROM install_caches WHERE project_id = $1 RETURNING project_id, sha256, bytes", project_id
            )
        return [CacheEntry(**row) for row in rows]
