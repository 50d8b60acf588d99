"""Going live: READY, the project's live release, its history, and which releases may be swept."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import AsyncIterator

import asyncpg

from gateway.engines.postgres.database import Database, Held
from gateway.errors import Conflict
from gateway.models.actor import Actor
from gateway.models.deployment import Deployment, Status
from gateway.stores.projects import SITE_CHANGED
from gateway.stores.rows import fetch_deployment, stale, to_deployment

log = logging.getLogger(__name__)

SWEEP_AT_ONCE = 100


class ReleaseStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(
        self,
        deployment_id: uuid.UUID,
        attempt: int,
        files: int,
        bytes: int,  # noqa: A002 - the word of the model
        last_seq: int,
    ) -> Deployment:
        """BUILDING -> READY, and live unless a newer live deployment or a promotion prevents it. In one transaction."""
        async with self._database.transaction() as connection:
            await _lock_project(connection, deployment_id)
            ready = await connection.fetchval(
                """
                WITH ready AS (
                    UPDATE deployments
                    SET status = 'READY',
                        files = $3,
                        bytes = $4,
                        last_seq = $5,
                        completed_at = now(),
                        released_at = now(),
                        replaced_at = now()
                    WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                    RETURNING id
                )
                SELECT id, end_attempt(id, $2, NULL)
                FROM ready
                """,
                deployment_id,
                attempt,
                files,
                bytes,
                last_seq,
            )
            if ready is None:
                raise await stale(connection, deployment_id, attempt)
            deployment = await fetch_deployment(connection, deployment_id)
            if await _may_go_live(connection, deployment):
                await _go_live(connection, deployment)
            return await fetch_deployment(connection, deployment_id)

    async def promote(self, actor: Actor, deployment_id: uuid.UUID) -> Deployment:
        """Make a READY deployment live, older or newer. Deployments queued before this do not replace it.

        Raises Conflict if it has no release.
        """
        async with self._database.transaction() as connection:
            await _lock_project(connection, deployment_id)
            deployment = await fetch_deployment(connection, deployment_id, actor)
            await _require_release(connection, deployment)
            await connection.execute(
                """
                UPDATE projects
                SET activation_floor = next_number - 1
                WHERE id = $1
                """,
                deployment.project_id,
            )
            await _go_live(connection, deployment)
            promoted = await fetch_deployment(connection, deployment_id)
        log.info("promoted deployment %s of project %s by %s", deployment_id, promoted.project_slug, actor.kind)
        return promoted

    @contextlib.asynccontextmanager
    async def project_lock(self, project_id: uuid.UUID) -> AsyncIterator[Held]:
        """The lock that publishing and sweeping one project share, on all gateways."""
        async with self._database.lock(f"project {project_id}") as held:
            yield held

    async def releases_to_sweep(self, keep: int, replaced_days: float) -> list[Deployment]:
        """Releases that are not live, not among the newest `keep` of their project, and not replaced recently."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM (
                    SELECT
                        *,
                        row_number() OVER (PARTITION BY project_id ORDER BY number DESC) AS age
                    FROM deployment_rows
                    WHERE released_at IS NOT NULL
                ) AS releases
                WHERE age > $1
                    AND NOT is_live
                    AND replaced_at < now() - make_interval(secs => $2)
                ORDER BY project_id, number
                LIMIT $3
                """,
                keep,
                replaced_days * 86400,
                SWEEP_AT_ONCE,
            )
        return [to_deployment(row) for row in rows]

    async def mark_swept(self, deployment_id: uuid.UUID) -> None:
        """From now on it has no release. Call this before its objects are deleted. Raises Conflict if it is live."""
        async with self._database.transaction() as connection:
            await _lock_project(connection, deployment_id)
            deployment = await fetch_deployment(connection, deployment_id)
            if deployment.is_live:
                raise Conflict(f"Deployment {deployment_id} is live.")
            await connection.execute(
                """
                UPDATE deployments
                SET released_at = NULL
                WHERE id = $1
                """,
                deployment_id,
            )

    async def newest_live(self, limit: int) -> list[Deployment]:
        """The live deployments, those that went live last first."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE is_live
                ORDER BY completed_at DESC
                LIMIT $1
                """,
                limit,
            )
        return [to_deployment(row) for row in rows]

    async def kept_releases(self, project_id: uuid.UUID) -> list[uuid.UUID]:
        """The deployments of the project that have a release. Their files must be kept."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT id
                FROM deployments
                WHERE project_id = $1 AND released_at IS NOT NULL
                ORDER BY number
                """,
                project_id,
            )
        return [row["id"] for row in rows]

    async def pending_manifests(self, project_id: uuid.UUID) -> list[bytes]:
        """What the project's running builds have announced. Their blobs must be kept too."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT attempts.manifest
                FROM deployments
                JOIN attempts ON attempts.deployment_id = deployments.id AND attempts.number = deployments.attempt
                WHERE deployments.project_id = $1
                    AND deployments.status = 'BUILDING'
                    AND attempts.manifest IS NOT NULL
                """,
                project_id,
            )
        return [row["manifest"] for row in rows]


async def _lock_project(connection: asyncpg.Connection, deployment_id: uuid.UUID) -> None:
    # Always the project first, then its deployments, so that two transactions never deadlock.
    await connection.execute(
        """
        SELECT id
        FROM projects
        WHERE id = (SELECT project_id FROM deployments WHERE id = $1)
        FOR NO KEY UPDATE
        """,
        deployment_id,
    )


async def _may_go_live(connection: asyncpg.Connection, deployment: Deployment) -> bool:
    allowed: bool = await connection.fetchval(
        """
        SELECT $2 > greatest(projects.activation_floor, coalesce(live.number, 0))
        FROM projects
        LEFT JOIN deployments AS live ON live.id = projects.live_deployment_id
        WHERE projects.id = $1
        """,
        deployment.project_id,
        deployment.number,
    )
    return allowed


async def _go_live(connection: asyncpg.Connection, deployment: Deployment) -> None:
    await connection.execute(
        """
        UPDATE deployments
        SET replaced_at = CASE WHEN id = $2 THEN NULL ELSE now() END
        WHERE id IN ((SELECT live_deployment_id FROM projects WHERE id = $1), $2)
        """,
        deployment.project_id,
        deployment.id,
    )
    await connection.execute(
        """
        UPDATE projects
        SET live_deployment_id = $2
        WHERE id = $1
        """,
        deployment.project_id,
        deployment.id,
    )
    await connection.execute("SELECT pg_notify($1, $2)", SITE_CHANGED, deployment.project_slug)


async def _require_release(connection: asyncpg.Connection, deployment: Deployment) -> None:
    if deployment.status is not Status.READY:
        raise Conflict(f"Only a deployment that is READY can go live; this one is {deployment.status}.")
    if not await connection.fetchval("SELECT released_at IS NOT NULL FROM deployments WHERE id = $1", deployment.id):
        raise Conflict("The files of this deployment were cleaned up. Deploy the commit again.")
