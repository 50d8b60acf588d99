"""Remembers deployments: reading them here, their transitions in deployment_queue, _attempts and _releases."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Sequence

from gateway.errors import NotFound
from gateway.models import Deployment
from gateway.stores.deployment_attempts import DeploymentAttempts
from gateway.stores.deployment_queue import DeploymentQueue
from gateway.stores.deployment_releases import DeploymentReleases
from gateway.stores.postgres import Database, decode_cursor, encode_cursor
from gateway.stores.rows import fetch_deployment, to_deployment

MAX_NUMBER = 2**31 - 1


class DeploymentStore(DeploymentQueue, DeploymentAttempts, DeploymentReleases):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> datetime.datetime:
        """By the database's clock: what gateways compare with each other's times, they take from here."""
        async with self._database.acquire() as connection:
            found: datetime.datetime = await connection.fetchval("SELECT now()")
        return found

    async def get(self, deployment_id: uuid.UUID) -> Deployment:
        """Raises NotFound."""
        async with self._database.acquire() as connection:
            return await fetch_deployment(connection, deployment_id)

    async def is_known(self, deployment_id: uuid.UUID) -> bool:
        """Whether it is one of this installation, in whatever state."""
        return bool(await self.known([deployment_id]))

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Those among the ids that are deployments of this installation, in whatever state."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch("SELECT id FROM deployments WHERE id = ANY($1)", list(ids))
        return {row["id"] for row in rows}

    async def page(self, after: uuid.UUID, limit: int) -> list[Deployment]:
        """The deployments of all projects whose ids follow this one, in order of their ids."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE id > $1
                ORDER BY id
                LIMIT $2
                """,
                after,
                limit,
            )
        return [to_deployment(row) for row in rows]

    async def newest(self, project_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Deployment]:
        """The newest deployment of each of these projects."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT newest.*
                FROM unnest($1::uuid[]) AS asked (project_id)
                CROSS JOIN LATERAL (
                    SELECT *
                    FROM deployment_rows
                    WHERE deployment_rows.project_id = asked.project_id
                    ORDER BY number DESC
                    LIMIT 1
                ) AS newest
                """,
                list(project_ids),
            )
        return {row["project_id"]: to_deployment(row) for row in rows}

    async def building(self) -> list[Deployment]:
        """All that build, the oldest first."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE status = 'BUILDING'
                ORDER BY created_at, id
                """
            )
        return [to_deployment(row) for row in rows]

    async def list(self, slug: str, limit: int, cursor: str | None = None) -> tuple[list[Deployment], str | None]:
        """The project's deployments, newest first, and the cursor for what follows. Raises NotFound, Invalid."""
        (before,) = decode_cursor(cursor, _number) if cursor else (MAX_NUMBER,)
        async with self._database.acquire() as connection:
            project_id = await connection.fetchval("SELECT id FROM projects WHERE subdomain = $1", slug)
            if project_id is None:
                raise NotFound(f"No project is called '{slug}'.")
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE project_id = $1 AND number < $2
                ORDER BY number DESC
                LIMIT $3 + 1
                """,
                project_id,
                before,
                limit,
            )
        deployments = [to_deployment(row) for row in rows[:limit]]
        more = len(rows) > limit and deployments
        return deployments, encode_cursor(str(deployments[-1].number)) if more else None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_NUMBER):
        raise ValueError("not a number of a deployment")
    return int(text)
