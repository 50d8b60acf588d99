"""The queue of deployments: the one way in, its limit, and the way out before the end."""

from __future__ import annotations

import uuid

import asyncpg

from builder.protocol.settings import Settings
from gateway.errors import NotFound, TooMany
from gateway.models.actor import Actor
from gateway.models.cause import Cause
from gateway.models.deployment import Deployment
from gateway.models.source import Source
from gateway.stores.hosts import reserve_deployment
from gateway.stores.rows import fetch_deployment, settings_json

NO_LIMIT = 2**31 - 1
RETRY_SECONDS = 30.0
"""About as long as a build takes."""


async def request_deployment(
    connection: asyncpg.Connection,
    actor: Actor,
    slug: str,
    source: Source,
    cause: Cause,
    overrides: Settings,
    queue_length: int,
) -> Deployment:
    """A deployment in QUEUE with the project's next number and its present settings. Call it in a transaction.

    `overrides`: the settings of this call, stronger than all others.

    Raises NotFound for a project that does not exist or belongs to another owner, and TooMany for a full queue.
    """
    # First the row, then the queue: a wait for the row holds up this project alone.
    project = await connection.fetchrow(
        """
        UPDATE projects
        SET next_number = next_number + 1
        WHERE subdomain = $1 AND ($2::uuid IS NULL OR created_by = $2)
        RETURNING id, next_number - 1 AS number
        """,
        slug,
        actor.owner_id,
    )
    if project is None:
        raise NotFound(f"No project is called '{slug}'.")
    await _check_length(connection, queue_length)
    deployment_id = await reserve_deployment(connection, project["id"])
    await connection.execute(
        """
        INSERT INTO deployments (
            id,
            project_id,
            number,
            cause_kind,
            cause_actor,
            cause_branch,
            cause_commit,
            git_url,
            branch,
            commit_sha,
            settings,
            overrides
        )
        SELECT
            $1,
            id,
            $3,
            $4,
            $5,
            $6,
            $7,
            $8,
            $9,
            $10,
            settings,
            $11
        FROM projects
        WHERE id = $2
        """,
        deployment_id,
        project["id"],
        project["number"],
        cause.kind,
        cause.actor,
        cause.branch,
        cause.commit,
        source.url,
        source.ref,
        source.commit,
        settings_json(overrides),
    )
    return await fetch_deployment(connection, deployment_id, actor)


async def cancel(
    connection: asyncpg.Connection,
    reason: str,
    *,
    deployment: uuid.UUID | None = None,
    project: uuid.UUID | None = None,
) -> bool:
    """What waits or builds of this deployment, or of the whole project, is CANCELED. False: everything had ended."""
    canceled = await connection.fetch(
        """
        WITH canceled AS (
            UPDATE deployments
            SET status = 'CANCELED',
                reason = $3,
                queue_reason = NULL,
                completed_at = now()
            WHERE (id = $1 OR project_id = $2) AND status IN ('QUEUE', 'BUILDING')
            RETURNING id, attempt
        )
        SELECT end_attempt(id, attempt, $3)
        FROM canceled
        """,
        deployment,
        project,
        reason,
    )
    return bool(canceled)


async def _check_length(connection: asyncpg.Connection, queue_length: int) -> None:
    # Gateways count one after the other, so the limit holds for all of them together.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('queue', 3))")
    waiting = await connection.fetchval("SELECT count(*) FROM deployments WHERE status = 'QUEUE'")
    if waiting >= queue_length:
        raise TooMany(
            f"{waiting} deployment{' waits' if waiting == 1 else 's wait'} to be built, and builder.queue_length allows"
            f" {queue_length}. Deploy again when some of them are built or canceled.",
            RETRY_SECONDS,
        )
