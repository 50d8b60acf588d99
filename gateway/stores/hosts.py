"""Remembers which host names are served, and what each of them leads to."""

from __future__ import annotations

import uuid

import asyncpg

from gateway.engines.postgres.database import Database
from gateway.errors import NotFound, Unavailable
from gateway.models.addresses import deployment_label
from gateway.models.deployment import Status
from gateway.models.host import SitePointer

ID_TRIES = 10


class HostStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, name: str) -> SitePointer:
        """The target of a label or a whole domain. Raises NotFound, also for a deployment without a release."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                SELECT
                    projects.id AS project_id,
                    projects.subdomain AS slug,
                    coalesce(own.id, projects.live_deployment_id) AS deployment_id,
                    newest.status AS newest_status,
                    hosts.kind = 'deployment' AS is_preview
                FROM hosts
                JOIN projects ON projects.id = hosts.project_id
                LEFT JOIN deployments AS own
                    ON own.id = hosts.deployment_id
                    AND own.status = 'READY'
                    AND own.released_at IS NOT NULL
                LEFT JOIN LATERAL (
                    SELECT status
                    FROM deployments
                    WHERE project_id = projects.id
                    ORDER BY number DESC
                    LIMIT 1
                ) AS newest ON true
                WHERE hosts.name = $1
                    AND (hosts.kind <> 'deployment' OR own.id IS NOT NULL)
                """,
                name,
            )
        if row is None:
            raise NotFound(f"Nothing is served under the name '{name}'.")
        return SitePointer(
            project_id=row["project_id"],
            slug=row["slug"],
            deployment_id=row["deployment_id"],
            newest_status=Status(row["newest_status"]) if row["newest_status"] else None,
            is_preview=row["is_preview"],
        )


async def reserve_slug(connection: asyncpg.Connection, slug: str, project_id: uuid.UUID) -> bool:
    """True if the slug now belongs to the project. False if the name is taken or still reserved."""
    return await _reserve(connection, slug, project_id, "slug", None)


async def reserve_deployment(connection: asyncpg.Connection, project_id: uuid.UUID) -> uuid.UUID:
    """The id of a new deployment. Its host name was free and now belongs to it."""
    slug = await connection.fetchval("SELECT subdomain FROM projects WHERE id = $1", project_id)
    for _ in range(ID_TRIES):
        deployment_id = uuid.uuid4()
        name = deployment_label(slug, deployment_id)
        if await _reserve(connection, name, project_id, "deployment", deployment_id):
            return deployment_id
    raise Unavailable("No free name was found for the deployment. Try again.")


async def _reserve(
    connection: asyncpg.Connection, name: str, project_id: uuid.UUID, kind: str, deployment_id: uuid.UUID | None
) -> bool:
    reserved = await connection.fetchval(
        """
        INSERT INTO hosts (name, project_id, kind, deployment_id)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE
        SET project_id = excluded.project_id,
            kind = excluded.kind,
            deployment_id = excluded.deployment_id,
            branch = NULL,
            pull_request = NULL,
            redirect_to = NULL,
            reserved_until = NULL
        WHERE hosts.project_id IS NULL AND hosts.reserved_until < now()
        RETURNING true
        """,
        name,
        project_id,
        kind,
        deployment_id,
    )
    return bool(reserved)
