"""Remembers the variables of projects and of single deployments. Their values are sealed before they come here."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Sequence

import asyncpg

from gateway.engines.postgres.database import Database
from gateway.errors import Invalid, NotFound, Unavailable
from gateway.models.actor import Actor
from gateway.models.variable import MAX_TOTAL_BYTES, MAX_VARIABLES
from gateway.stores.data_keys import WrappedKey, add_data_key


@dataclasses.dataclass(frozen=True, slots=True)
class SealedVariable:
    """Without `updated_at` and `updated_by` until it is stored."""

    name: str
    context: str
    sealed: bytes = dataclasses.field(repr=False)
    is_secret: bool
    is_public: bool
    updated_at: datetime.datetime | None = None
    updated_by: str = ""


class VariableStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_project(self, project_id: uuid.UUID) -> list[SealedVariable]:
        """By name and context."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT
                    name,
                    context,
                    sealed,
                    is_secret,
                    is_public,
                    updated_at,
                    updated_by
                FROM variables
                WHERE project_id = $1
                ORDER BY name, context
                """,
                project_id,
            )
        return [SealedVariable(**row) for row in rows]

    async def put(self, actor: Actor, project_id: uuid.UUID, variables: Sequence[SealedVariable]) -> None:
        """Adds them, or replaces those of the same name and context: all or none. Raises Invalid above a limit."""
        async with self._database.transaction() as connection:
            # Calls for one project count one after the other.
            await connection.execute("SELECT FROM projects WHERE id = $1 FOR NO KEY UPDATE", project_id)
            await _put(connection, actor, project_id, variables)

    async def delete(self, project_id: uuid.UUID, name: str, context: str | None = None) -> None:
        """In this context, or in every one. Raises NotFound if there is none."""
        async with self._database.acquire() as connection:
            gone = await connection.fetch(
                """
                DELETE FROM variables
                WHERE project_id = $1 AND name = $2 AND ($3::text IS NULL OR context = $3)
                RETURNING name
                """,
                project_id,
                name,
                context,
            )
        if not gone:
            place = f" in the context {context}" if context else ""
            raise NotFound(f"The project has no variable {name[:80]!a}{place}.")

    async def of_deployment(self, deployment_id: uuid.UUID) -> list[SealedVariable]:
        """Those that came with the call that requested it."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT
                    name,
                    '' AS context,
                    sealed,
                    is_secret,
                    is_public
                FROM deployment_variables
                WHERE deployment_id = $1
                """,
                deployment_id,
            )
        return [SealedVariable(**row) for row in rows]


@dataclasses.dataclass(frozen=True, slots=True)
class FirstVariables:
    """The data key of a project that does not exist yet, and variables under it."""

    key: WrappedKey
    variables: Sequence[SealedVariable]


async def add_first(connection: asyncpg.Connection, actor: Actor, first: FirstVariables) -> None:
    """In the transaction that creates the project. Raises Invalid, and Unavailable if the ring's key was replaced."""
    if not await add_data_key(connection, first.key):
        raise Unavailable("The key of secrets is being rotated. Try again.")
    await _put(connection, actor, first.key.project_id, first.variables)


async def add_overrides(
    connection: asyncpg.Connection, deployment_id: uuid.UUID, variables: Sequence[SealedVariable]
) -> None:
    """In the transaction that requests the deployment."""
    await connection.executemany(
        """
        INSERT INTO deployment_variables (deployment_id, name, sealed, is_secret, is_public)
        VALUES ($1, $2, $3, $4, $5)
        """,
        [(deployment_id, v.name, v.sealed, v.is_secret, v.is_public) for v in variables],
    )


async def _put(
    connection: asyncpg.Connection, actor: Actor, project_id: uuid.UUID, variables: Sequence[SealedVariable]
) -> None:
    await connection.executemany(
        """
        INSERT INTO variables (project_id, name, context, sealed, is_secret, is_public, updated_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (project_id, name, context) DO UPDATE
        SET sealed = excluded.sealed,
            is_secret = excluded.is_secret,
            is_public = excluded.is_public,
            updated_at = now(),
            updated_by = excluded.updated_by
        """,
        [(project_id, v.name, v.context, v.sealed, v.is_secret, v.is_public, actor.kind) for v in variables],
    )
    await _check_limits(connection, project_id)


async def _check_limits(connection: asyncpg.Connection, project_id: uuid.UUID) -> None:
    row = await connection.fetchrow(
        "SELECT count(*) AS number, sum(octet_length(sealed)) AS bytes FROM variables WHERE project_id = $1", project_id
    )
    if row["number"] > MAX_VARIABLES:
        raise Invalid(f"A project has at most {MAX_VARIABLES} variables; these would be {row['number']}.")
    if (row["bytes"] or 0) > MAX_TOTAL_BYTES:
        raise Invalid(f"The values of a project's variables have at most {MAX_TOTAL_BYTES} bytes in all.")
