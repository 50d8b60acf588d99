"""Remembers deployments: what was requested, what is known about each, and whether its log is complete."""

from __future__ import annotations

import datetime
import json
import logging
import uuid
from collections.abc import Collection, Sequence

from builder.protocol.settings import Settings
from gateway.engines.postgres.database import Database, decode_cursor, encode_cursor
from gateway.errors import Conflict, NotFound
from gateway.models.actor import Actor
from gateway.models.attempt import Attempt
from gateway.models.cause import Cause
from gateway.models.deployment import Deployment
from gateway.models.source import Source
from gateway.stores.queue import NO_LIMIT, cancel, request_deployment
from gateway.stores.rows import fetch_deployment, stale, to_attempt, to_deployment
from gateway.stores.variables import SealedVariable, add_overrides

log = logging.getLogger(__name__)

CANCELED = "It was canceled."
MAX_NUMBER = 2**31 - 1


class DeploymentStore:
    def __init__(self, database: Database, queue_length: int = NO_LIMIT) -> None:
        self._database = database
        self._queue_length = queue_length

    async def now(self) -> datetime.datetime:
        """The time by the database's clock, for all times that gateways compare with each other's."""
        async with self._database.acquire() as connection:
            found: datetime.datetime = await connection.fetchval("SELECT now()")
        return found

    async def get(self, actor: Actor, deployment_id: uuid.UUID) -> Deployment:
        """Raises NotFound."""
        async with self._database.acquire() as connection:
            return await fetch_deployment(connection, deployment_id, actor)

    async def is_known(self, deployment_id: uuid.UUID) -> bool:
        """Whether it is a deployment of this installation, in any state."""
        return bool(await self.known([deployment_id]))

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the ids that are deployments of this installation, in any state."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch("SELECT id FROM deployments WHERE id = ANY($1)", list(ids))
        return {row["id"] for row in rows}

    async def page(self, after: uuid.UUID, limit: int) -> list[Deployment]:
        """The deployments of all projects with larger ids than this one, ordered by id."""
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

    async def newest(self, actor: Actor, project_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Deployment]:
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
                WHERE $2::uuid IS NULL OR asked.project_id IN (SELECT id FROM projects WHERE created_by = $2)
                """,
                list(project_ids),
                actor.owner_id,
            )
        return {row["project_id"]: to_deployment(row) for row in rows}

    async def attempts(self, actor: Actor, deployment_id: uuid.UUID) -> list[Attempt]:
        """All attempts that a launcher started, in order. Raises NotFound."""
        async with self._database.acquire() as connection:
            await fetch_deployment(connection, deployment_id, actor)
            rows = await connection.fetch(
                """
                SELECT
                    number,
                    launcher,
                    started_at,
                    steps,
                    reason,
                    failure
                FROM attempts
                WHERE deployment_id = $1 AND started_at IS NOT NULL
                ORDER BY number
                """,
                deployment_id,
            )
        return [to_attempt(row) for row in rows]

    async def request(
        self,
        actor: Actor,
        slug: str,
        source: Source,
        cause: Cause,
        overrides: Settings,
        variables: Sequence[SealedVariable] = (),
    ) -> Deployment:
        """A new deployment of the project with its present settings, and the settings and variables of this call.

        Raises NotFound, and TooMany for a full queue.
        """
        async with self._database.transaction() as connection:
            found = await request_deployment(connection, actor, slug, source, cause, overrides, self._queue_length)
            await add_overrides(connection, found.id, variables)
        log.info("requested deployment %s of project %s by %s", found.id, slug, cause.kind)
        return found

    async def cancel(self, actor: Actor, deployment_id: uuid.UUID) -> Deployment:
        """CANCELED at once, whether it waits or builds. Raises NotFound, and Conflict if it has already ended."""
        async with self._database.transaction() as connection:
            await fetch_deployment(connection, deployment_id, actor)
            is_canceled = await cancel(connection, CANCELED, deployment=deployment_id)
            found = await fetch_deployment(connection, deployment_id)
        if not is_canceled:
            raise Conflict(f"Deployment {deployment_id} has ended already: its state is {found.status}.")
        log.info("canceled deployment %s by %s", deployment_id, actor.kind)
        return found

    async def set_log_end(
        self, deployment_id: uuid.UUID, attempt: int, complete: bool, missing: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Record whether the attempt's log is complete, or what is missing. A complete log stays complete."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                UPDATE deployments
                SET log_complete = log_complete IS TRUE OR $3,
                    log_missing = CASE WHEN log_complete IS TRUE THEN log_missing ELSE $4::jsonb END
                WHERE id = $1 AND attempt = $2
                RETURNING id
                """,
                deployment_id,
                attempt,
                complete,
                json.dumps(list(missing)),
            )
            if row is None:
                raise await stale(connection, deployment_id, attempt)

    async def undecided_logs(self, after: uuid.UUID, limit: int) -> list[Deployment]:
        """Deployments that have ended and whose log is not yet known to be complete or not.

        Those with larger ids than this one, ordered by id.
        """
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE log_complete IS NULL AND completed_at IS NOT NULL AND id > $1
                ORDER BY id
                LIMIT $2
                """,
                after,
                limit,
            )
        return [to_deployment(row) for row in rows]

    async def list(
        self, actor: Actor, slug: str, limit: int, cursor: str | None = None
    ) -> tuple[list[Deployment], str | None]:
        """The project's deployments, newest first, and the cursor of the next page. Raises NotFound, Invalid."""
        (before,) = decode_cursor(cursor, _number) if cursor else (MAX_NUMBER,)
        async with self._database.acquire() as connection:
            project_id = await connection.fetchval(
                """
                SELECT id
                FROM projects
                WHERE subdomain = $1 AND ($2::uuid IS NULL OR created_by = $2)
                """,
                slug,
                actor.owner_id,
            )
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
