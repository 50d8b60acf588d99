"""Remembers the encrypted data key of each project, and which key of the ring encrypts new ones."""

from __future__ import annotations

import dataclasses
import uuid

import asyncpg

from gateway.engines.postgres.database import Database

RING_KEY = "ring_key"


@dataclasses.dataclass(frozen=True, slots=True)
class WrappedKey:
    """A project's data key, encrypted under the key of the ring that has this id."""

    project_id: uuid.UUID
    ring_key: str
    wrapped: bytes


class DataKeyStore:
    def __init__(self, database: Database) -> None:
        self.database = database

    async def ring_key(self) -> str | None:
        """The id of the key that encrypts new data keys. None: no gateway has made one yet."""
        async with self.database.acquire() as connection:
            found = await connection.fetchval("SELECT value FROM installation WHERE name = $1", RING_KEY)
        return found.decode() if found is not None else None

    async def set_ring_key(self, key_id: str) -> None:
        async with self.database.acquire() as connection:
            await connection.execute(
                """
                INSERT INTO installation (name, value)
                VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()
                """,
                RING_KEY,
                key_id.encode(),
            )

    async def ring_keys_in_use(self) -> set[str]:
        async with self.database.acquire() as connection:
            rows = await connection.fetch("SELECT DISTINCT ring_key FROM data_keys")
        return {row["ring_key"] for row in rows}

    async def find(self, project_id: uuid.UUID) -> WrappedKey | None:
        """None: the project has no secrets yet."""
        async with self.database.acquire() as connection:
            row = await connection.fetchrow("SELECT * FROM data_keys WHERE project_id = $1", project_id)
        return WrappedKey(row["project_id"], row["ring_key"], row["wrapped"]) if row else None

    async def project_of_request(self, request_key: str) -> uuid.UUID | None:
        """The project that a call with this Idempotency-Key made. None: there is none, or it has no secrets."""
        async with self.database.acquire() as connection:
            found: uuid.UUID | None = await connection.fetchval(
                """
                SELECT data_keys.project_id
                FROM idempotency_keys
                JOIN deployments ON deployments.id = idempotency_keys.deployment_id
                JOIN data_keys ON data_keys.project_id = deployments.project_id
                WHERE idempotency_keys.key = $1
                """,
                request_key,
            )
        return found

    async def add(self, key: WrappedKey) -> None:
        """Stores the first data key of a project; a second one changes nothing, nor does one of a replaced ring key."""
        async with self.database.acquire() as connection:
            await add_data_key(connection, key)

    async def outdated(self, ring_key: str, limit: int) -> list[WrappedKey]:
        """Data keys that another key of the ring encrypts."""
        async with self.database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM data_keys
                WHERE ring_key <> $1
                ORDER BY ring_key, project_id
                LIMIT $2
                """,
                ring_key,
                limit,
            )
        return [WrappedKey(row["project_id"], row["ring_key"], row["wrapped"]) for row in rows]

    async def replace(self, old: WrappedKey, new: WrappedKey) -> None:
        """Changes nothing if the stored one is no longer `old`."""
        async with self.database.acquire() as connection:
            await connection.execute(
                """
                UPDATE data_keys
                SET ring_key = $3,
                    wrapped = $4
                WHERE project_id = $1 AND ring_key = $2
                """,
                old.project_id,
                old.ring_key,
                new.ring_key,
                new.wrapped,
            )


async def add_data_key(connection: asyncpg.Connection, key: WrappedKey) -> bool:
    """False: the project has one, or another key of the ring encrypts by now."""
    # Locks the row, so that a rotation sees every data key of the ring key that it replaces.
    added = await connection.fetchval(
        """
        WITH present AS (
            SELECT value
            FROM installation
            WHERE name = $4 AND value = $5
            FOR SHARE
        )
        INSERT INTO data_keys (project_id, ring_key, wrapped)
        SELECT $1, $2, $3
        FROM present
        ON CONFLICT (project_id) DO NOTHING
        RETURNING true
        """,
        key.project_id,
        key.ring_key,
        key.wrapped,
        RING_KEY,
        key.ring_key.encode(),
    )
    return bool(added)
