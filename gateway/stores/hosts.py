"""Remembers which host names are served, and what each of them leads to."""

from __future__ import annotations

import uuid

import asyncpg

from gateway.engines.postgres.database import Database
from gateway.errors import NotFound, Unavailable
from gateway.models.actor import Actor
from gateway.models.addresses import deployment_label
from gateway.models.deployment import Status
from gateway.models.host import Signpost, SitePointer, Target

ID_TRIES = 10
RESERVED_DAYS = 30
"""How long a name that a project gave up is kept from others, so that its old links lead to no stranger."""


class HostStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, name: str) -> Target:
        """The target of a label or a whole domain. Raises NotFound, also for a deployment without a release."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                SELECT
                    projects.id AS project_id,
                    projects.subdomain AS slug,
                    hosts.redirect_to,
                    hosts.reserved_until IS NOT NULL AS is_given_up,
                    coalesce(own.id, projects.live_deployment_id) AS deployment_id,
                    newest.status AS newest_status,
                    hosts.kind = 'deployment' AS is_preview
                FROM hosts
                LEFT JOIN projects ON projects.id = hosts.project_id
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
                    AND (hosts.reserved_until IS NOT NULL OR hosts.kind <> 'deployment' OR own.id IS NOT NULL)
                    AND (hosts.reserved_until IS NULL OR hosts.reserved_until > now())
                """,
                name,
            )
        if row is None:
            raise NotFound(f"Nothing is served under the name '{name}'.")
        if row["is_given_up"]:
            return Signpost(name, row["redirect_to"])
        return SitePointer(
            project_id=row["project_id"],
            slug=row["slug"],
            deployment_id=row["deployment_id"],
            newest_status=Status(row["newest_status"]) if row["newest_status"] else None,
            is_preview=row["is_preview"],
        )

    async def renamed_to(self, actor: Actor, slug: str) -> str | None:
        """The present slug of the actor's project that had this one, while the old one leads there."""
        async with self._database.acquire() as connection:
            found: str | None = await connection.fetchval(
                """
                SELECT redirect_to
                FROM hosts
                JOIN projects ON projects.id = hosts.project_id
                WHERE hosts.name = $1
                    AND hosts.reserved_until > now()
                    AND ($2::uuid IS NULL OR projects.created_by = $2)
                """,
                slug,
                actor.owner_id,
            )
        return found


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
        WHERE hosts.reserved_until < now()
            OR (hosts.reserved_until IS NOT NULL AND hosts.project_id = excluded.project_id)
        RETURNING true
        """,
        name,
        project_id,
        kind,
        deployment_id,
    )
    return bool(reserved)


async def move_slug(
    connection: asyncpg.Connection, project_id: uuid.UUID, old: str, new: str, *, redirects: bool
) -> bool:
    """The project has the new slug, and its deployments have addresses with it. False if the new slug is taken.

    The old slug is kept from other projects for RESERVED_DAYS and leads to the new one, or nowhere. The old addresses
    of deployments stay.
    """
    if not await reserve_slug(connection, new, project_id):
        return False
    await connection.execute(
        """
        UPDATE hosts
        SET redirect_to = $2
        WHERE project_id = $1 AND redirect_to IS NOT NULL
        """,
        project_id,
        new,
    )
    await connection.execute(
        """
        UPDATE hosts
        SET redirect_to = $2,
            reserved_until = now() + make_interval(days => $3)
        WHERE name = $1
        """,
        old,
        new if redirects else None,
        RESERVED_DAYS,
    )
    # If a new name is still reserved for another project, that deployment keeps its old one alone.
    await connection.execute(
        """
        INSERT INTO hosts (name, project_id, kind, deployment_id)
        SELECT $2 || substr(name, length(name) - 8), project_id, kind, deployment_id
        FROM hosts
        WHERE project_id = $1 AND kind = 'deployment' AND left(name, length(name) - 9) = $3
        ON CONFLICT (name) DO NOTHING
        """,
        project_id,
        new,
        old,
    )
    return True


async def free_names(connection: asyncpg.Connection, project_id: uuid.UUID) -> None:
    """Nothing is served under the project's names from now on. They are kept from other projects for RESERVED_DAYS."""
    await connection.execute(
        """
        UPDATE hosts
        SET project_id = NULL,
            redirect_to = NULL,
            reserved_until = now() + make_interval(days => $2)
        WHERE project_id = $1
        """,
        project_id,
        RESERVED_DAYS,
    )
