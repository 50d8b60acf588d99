"""What the attempt that runs says of itself, and how it ends without a release."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from builder.protocol.calls import Facts
from gateway.errors import NotFound
from gateway.models import Deployment
from gateway.stores.postgres import Database, storable
from gateway.stores.rows import stale, to_deployment

MESSAGE_LIMIT = 1000


class DeploymentAttempts:
    """All of it is fenced: only the attempt that is BUILDING is heard, everything else raises Conflict or NotFound."""

    _database: Database

    async def heartbeat(self, deployment_id: uuid.UUID, attempt: int, lease_seconds: float) -> None:
        """Believe in the attempt for that long from now."""
        await self._change(
            """
            UPDATE deployments
            SET lease_until = now() + make_interval(secs => $3)
            WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
            RETURNING id
            """,
            deployment_id,
            attempt,
            lease_seconds,
        )

    async def start_step(self, deployment_id: uuid.UUID, attempt: int, step: str, at_ms: int) -> None:
        """The step begins, the one before it ends. A step that began already is not begun again."""
        await self._change(
            """
            UPDATE deployments
            SET steps = CASE
                WHEN steps @> jsonb_build_array(jsonb_build_object('name', $3::text)) THEN steps
                ELSE end_last_step(steps, $4) || jsonb_build_array(
                    jsonb_build_object('name', $3::text, 'startedAt', $4::bigint, 'seconds', NULL)
                )
            END
            WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
            RETURNING id
            """,
            deployment_id,
            attempt,
            step,
            at_ms,
        )

    async def add_facts(self, deployment_id: uuid.UUID, attempt: int, facts: Facts) -> None:
        """What is None stays as it was."""
        await self._change(
            """
            UPDATE deployments
            SET commit_sha = coalesce($3, commit_sha),
                commit_message = coalesce($4, commit_message),
                framework = coalesce($5, framework),
                built_with_node = coalesce($6, built_with_node),
                isolation = coalesce($7, isolation)
            WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
            RETURNING id
            """,
            deployment_id,
            attempt,
            storable(facts.commit_sha, 100),
            storable(facts.commit_message, MESSAGE_LIMIT),
            storable(facts.framework, 100),
            storable(facts.node_version, 100),
            storable(facts.isolation, 100),
        )

    async def set_manifest(self, deployment_id: uuid.UUID, attempt: int, manifest: bytes) -> None:
        await self._change(
            """
            UPDATE deployments
            SET manifest = $3
            WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
            RETURNING id
            """,
            deployment_id,
            attempt,
            manifest,
        )

    async def get_manifest(self, deployment_id: uuid.UUID, attempt: int) -> bytes:
        """What `set_manifest` kept. Raises NotFound when the attempt announced none."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                SELECT manifest
                FROM deployments
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                """,
                deployment_id,
                attempt,
            )
            if row is None:
                raise await stale(connection, deployment_id, attempt)
        manifest: bytes | None = row["manifest"]
        if manifest is None:
            raise NotFound(f"Attempt {attempt} of deployment {deployment_id} has not announced a manifest.")
        return manifest

    async def fail(
        self,
        deployment_id: uuid.UUID,
        attempt: int,
        reason: str,
        step: str | None = None,
        exit_code: int | None = None,
        last_seq: int | None = None,
    ) -> None:
        """BUILDING -> FAILED. `step`, where it failed, is recorded if it never began."""
        await self._change(
            """
            UPDATE deployments
            SET status = 'FAILED',
                reason = $3,
                exit_code = $5,
                last_seq = $6,
                completed_at = now(),
                lease_until = NULL,
                manifest = NULL,
                steps = CASE
                    WHEN $4::text IS NULL OR steps @> jsonb_build_array(jsonb_build_object('name', $4::text))
                    THEN end_last_step(steps, now_ms())
                    ELSE end_last_step(steps, now_ms()) || jsonb_build_array(
                        jsonb_build_object('name', $4::text, 'startedAt', now_ms(), 'seconds', 0)
                    )
                END
            WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
            RETURNING id
            """,
            deployment_id,
            attempt,
            storable(reason),
            storable(step, 100),
            exit_code,
            last_seq,
        )

    async def set_log_end(
        self, deployment_id: uuid.UUID, attempt: int, complete: bool, missing: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Whether the attempt's log is whole, and if not, what is missing. Once whole, it stays so."""
        await self._change(
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

    async def undecided_logs(self, after: uuid.UUID, limit: int) -> list[Deployment]:
        """Deployments that ended and of whose log it is not yet known whether it is whole: those whose ids follow this
        one, in order of their ids.
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

    async def _change(self, fenced_update: str, deployment_id: uuid.UUID, attempt: int, *values: object) -> None:
        async with self._database.acquire() as connection:
            if await connection.fetchval(fenced_update, deployment_id, attempt, *values) is None:
                raise await stale(connection, deployment_id, attempt)
