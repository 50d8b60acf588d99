"""Remembers attempts: which deployment is built next and by which launcher, what its builder reports, how it ends."""

from __future__ import annotations

import dataclasses
import json
import uuid

from builder.protocol.calls import Facts, Failure
from builder.protocol.steps import Step
from gateway.engines.postgres.database import Database, storable
from gateway.errors import NotFound
from gateway.models import lifecycle
from gateway.models.attempt import EndedBuilder
from gateway.models.deployment import Deployment, Status
from gateway.stores.queue import NO_LIMIT
from gateway.stores.rows import stale, to_deployment

MESSAGE_LIMIT = 1000


class AttemptStore:
    """Every transition is one statement, fenced by id, attempt and state: a late call changes nothing and raises
    Conflict.

    Each locks the deployment's row first. That row alone says which attempt runs. A statement that waited for a lock
    reads only the rows again that it locks:
    https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, launcher: str, lease_seconds: float, limit: int = 1, *, concurrency: int = NO_LIMIT
    ) -> list[Deployment]:
        """The oldest deployments that are due, now BUILDING and leased. No two callers ever get the same one.

        At most `concurrency` build by this launcher at once, however many gateways claim for it. An attempt number that
        another launcher refused, or with which a builder was started after all, is not used for a second builder.
        """
        async with self._database.transaction() as connection:
            # Gateways that share a launcher count one after another.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", launcher)
            claimed = await connection.fetch(
                """
                WITH due AS (
                    SELECT
                        deployments.id,
                        coalesce(attempts.launcher <> $1 OR attempts.handle IS NOT NULL, false) AS is_used
                    FROM deployments
                    LEFT JOIN attempts
                        ON attempts.deployment_id = deployments.id AND attempts.number = deployments.attempt
                    WHERE deployments.status = 'QUEUE' AND deployments.launch_after <= now()
                    ORDER BY deployments.created_at, deployments.id
                    LIMIT least($3, greatest(0, $4 - (
                        SELECT count(*)
                        FROM deployment_rows
                        WHERE status = 'BUILDING' AND launcher = $1
                    )))
                    FOR NO KEY UPDATE OF deployments SKIP LOCKED
                ),
                claimed AS (
                    UPDATE deployments
                    SET status = 'BUILDING',
                        queue_reason = NULL,
                        attempt = attempt + due.is_used::integer
                    FROM due
                    WHERE deployments.id = due.id
                    RETURNING deployments.id, deployments.attempt
                )
                INSERT INTO attempts (deployment_id, number, launcher, started_at, lease_until)
                SELECT id, attempt, $1, now(), now() + make_interval(secs => $2)
                FROM claimed
                ON CONFLICT (deployment_id, number) DO UPDATE
                SET started_at = excluded.started_at,
                    lease_until = excluded.lease_until
                RETURNING deployment_id
                """,
                launcher,
                lease_seconds,
                limit,
                concurrency,
            )
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE id = ANY($1)
                ORDER BY created_at, id
                """,
                [row["deployment_id"] for row in claimed],
            )
        return [to_deployment(row) for row in rows]

    async def count_building(self, launcher: str) -> int:
        async with self._database.acquire() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM deployment_rows WHERE status = 'BUILDING' AND launcher = $1", launcher
            )
        return count

    async def building(self) -> list[Deployment]:
        """All deployments that are BUILDING, the oldest first."""
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

    async def launched(self, deployment_id: uuid.UUID, attempt: int, handle: str) -> None:
        """The attempt's builder runs under this handle.

        If the attempt has ended meanwhile, this raises Conflict, and the builder is one of `builders_to_stop`.
        """
        async with self._database.acquire() as connection:
            is_running = await connection.fetchval(
                """
                WITH fence AS (
                    SELECT id, attempt, status
                    FROM deployments
                    WHERE id = $1
                    FOR NO KEY UPDATE
                )
                UPDATE attempts
                SET handle = $3,
                    seen_gone_at = NULL
                FROM fence
                WHERE attempts.deployment_id = fence.id AND attempts.number = $2
                RETURNING fence.attempt = $2 AND fence.status = 'BUILDING'
                """,
                deployment_id,
                attempt,
                handle,
            )
            if not is_running:
                raise await stale(connection, deployment_id, attempt)

    async def refused(self, deployment_id: uuid.UUID, attempt: int, reason: str, *, final: bool = False) -> Status:
        """The launcher did not start it: back to QUEUE with the launcher's sentence, each time for twice as long.

        FAILED if the refusal is final, or one too many. Raises Conflict if its builder runs already, because the
        launcher answered another gateway that has started it.
        """
        async with self._database.acquire() as connection:
            status = await connection.fetchval(
                """
                WITH fence AS (
                    SELECT deployments.id, deployments.refusals + 1 >= $4 AS is_last
                    FROM deployments
                    JOIN attempts ON attempts.deployment_id = deployments.id AND attempts.number = deployments.attempt
                    WHERE deployments.id = $1
                        AND deployments.attempt = $2
                        AND deployments.status = 'BUILDING'
                        AND attempts.handle IS NULL
                        AND attempts.steps = '[]'
                    -- Both: a launch that another gateway records meanwhile changes the attempt's row alone.
                    FOR NO KEY UPDATE OF deployments, attempts
                ),
                refused AS (
                    UPDATE attempts
                    SET started_at = NULL,
                        lease_until = NULL
                    FROM fence
                    WHERE attempts.deployment_id = fence.id AND attempts.number = $2
                )
                UPDATE deployments
                SET status = CASE WHEN is_last THEN 'FAILED' ELSE 'QUEUE' END,
                    reason = CASE WHEN is_last THEN $3 END,
                    completed_at = CASE WHEN is_last THEN now() END,
                    queue_reason = CASE WHEN is_last THEN NULL ELSE $3 END,
                    refusals = refusals + 1,
                    -- Computed here: every gateway, also one that has just started, waits on from the refusals so far.
                    launch_after = now() + make_interval(secs => least($5 * 2.0 ^ least(refusals, 16), $6))
                FROM fence
                WHERE deployments.id = fence.id
                RETURNING status
                """,
                deployment_id,
                attempt,
                storable(reason),
                0 if final else lifecycle.REFUSALS,
                lifecycle.FIRST_REFUSAL_SECONDS,
                lifecycle.LONGEST_REFUSAL_SECONDS,
            )
            if status is None:
                raise await stale(connection, deployment_id, attempt)
            return Status(status)

    async def lost(self, deployment_id: uuid.UUID, attempt: int, reason: str, attempts_limit: int) -> Status:
        """The builder is gone, through no fault of the project: the next attempt is queued, or FAILED after the last
        one.

        An attempt that the launcher refused does not count.
        """
        async with self._database.acquire() as connection:
            status = await connection.fetchval(
                """
                WITH tries AS (
                    SELECT $2::integer - count(*) >= $4 AS are_over
                    FROM attempts
                    WHERE deployment_id = $1 AND number BETWEEN 1 AND $2 AND started_at IS NULL
                ),
                lost AS (
                    UPDATE deployments
                    SET status = CASE WHEN are_over THEN 'FAILED' ELSE 'QUEUE' END,
                        reason = CASE WHEN are_over THEN $3 END,
                        completed_at = CASE WHEN are_over THEN now() END,
                        queue_reason = CASE WHEN are_over THEN NULL ELSE $3 END,
                        attempt = attempt + (NOT are_over)::integer,
                        launch_after = now()
                    FROM tries
                    WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                    RETURNING id, status
                )
                SELECT status, end_attempt(id, $2, $3)
                FROM lost
                """,
                deployment_id,
                attempt,
                storable(reason),
                attempts_limit,
            )
            if status is None:
                raise await stale(connection, deployment_id, attempt)
            return Status(status)

    async def fail(
        self,
        deployment_id: uuid.UUID,
        attempt: int,
        reason: str,
        step: Step | None = None,
        exit_code: int | None = None,
        last_seq: int | None = None,
        failure: Failure | None = None,
    ) -> None:
        """BUILDING -> FAILED. Records `step`, the step that failed, even if it never began."""
        await self._change(
            """
            WITH failed AS (
                UPDATE deployments
                SET status = 'FAILED',
                    reason = $3,
                    exit_code = $5,
                    last_seq = $6,
                    completed_at = now()
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                RETURNING id
            )
            SELECT id, end_attempt(id, $2, $3, $4, $7)
            FROM failed
            """,
            deployment_id,
            attempt,
            storable(reason),
            step,
            exit_code,
            last_seq,
            None if failure is None else json.dumps(dataclasses.asdict(failure)),
        )

    async def heartbeat(self, deployment_id: uuid.UUID, attempt: int, lease_seconds: float) -> None:
        """Extend the attempt's lease to this long from now."""
        await self._change(
            """
            WITH fence AS (
                SELECT id
                FROM deployments
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                FOR NO KEY UPDATE
            )
            UPDATE attempts
            SET lease_until = now() + make_interval(secs => $3)
            FROM fence
            WHERE deployment_id = fence.id AND number = $2
            RETURNING deployment_id
            """,
            deployment_id,
            attempt,
            lease_seconds,
        )

    async def start_step(self, deployment_id: uuid.UUID, attempt: int, step: Step, at_ms: int) -> None:
        """The step begins, and the one before it ends. A step that has already begun is not changed."""
        await self._change(
            """
            WITH fence AS (
                SELECT id
                FROM deployments
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                FOR NO KEY UPDATE
            )
            UPDATE attempts
            SET steps = begin_step(steps, $3, $4)
            FROM fence
            WHERE deployment_id = fence.id AND number = $2
            RETURNING deployment_id
            """,
            deployment_id,
            attempt,
            step,
            at_ms,
        )

    async def add_facts(self, deployment_id: uuid.UUID, attempt: int, facts: Facts) -> None:
        """Values that are None stay unchanged. A project whose git URL was changed meanwhile keeps that."""
        await self._change(
            """
            WITH changed AS (
                UPDATE deployments
                SET commit_sha = coalesce($3, commit_sha),
                    commit_message = coalesce($4, commit_message),
                    framework = coalesce($5, framework),
                    built_with_node = coalesce($6, built_with_node),
                    isolation = coalesce($7, isolation),
                    used_settings = coalesce($8::jsonb, used_settings)
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                RETURNING id, project_id, git_url
            ),
            moved AS (
                UPDATE projects
                SET git_url = $9
                FROM changed
                WHERE projects.id = changed.project_id AND projects.git_url = changed.git_url AND $9::text IS NOT NULL
            )
            SELECT id
            FROM changed
            """,
            deployment_id,
            attempt,
            storable(facts.commit_sha, 100),
            storable(facts.commit_message, MESSAGE_LIMIT),
            storable(facts.framework, 100),
            storable(facts.node_version, 100),
            facts.isolation,
            json.dumps([dataclasses.asdict(each) for each in facts.settings]) if facts.settings is not None else None,
            facts.git_url,
        )

    async def set_manifest(self, deployment_id: uuid.UUID, attempt: int, manifest: bytes) -> None:
        await self._change(
            """
            WITH fence AS (
                SELECT id
                FROM deployments
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                FOR NO KEY UPDATE
            )
            UPDATE attempts
            SET manifest = $3
            FROM fence
            WHERE deployment_id = fence.id AND number = $2
            RETURNING deployment_id
            """,
            deployment_id,
            attempt,
            manifest,
        )

    async def get_manifest(self, deployment_id: uuid.UUID, attempt: int) -> bytes:
        """What `set_manifest` stored. Raises NotFound if the attempt announced nothing."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                SELECT manifest
                FROM deployments
                JOIN attempts ON attempts.deployment_id = deployments.id AND attempts.number = deployments.attempt
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

    async def expired(self) -> list[Deployment]:
        """Deployments that are BUILDING and whose lease has ended, by the database's clock."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE status = 'BUILDING' AND lease_until < now()
                ORDER BY lease_until
                """
            )
        return [to_deployment(row) for row in rows]

    async def overdue(self, seconds: float) -> list[Deployment]:
        """Deployments whose attempt has run for longer than this, by the database's clock, which all gateways share."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE status = 'BUILDING' AND started_at < now() - make_interval(secs => $1)
                ORDER BY started_at
                """,
                seconds,
            )
        return [to_deployment(row) for row in rows]

    async def builders_to_stop(self, launcher: str) -> list[EndedBuilder]:
        """The builders of this launcher whose attempt has ended, and which are not known to be gone yet."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT
                    attempts.deployment_id,
                    attempts.number AS attempt,
                    attempts.handle,
                    coalesce(attempts.reason, 'Its attempt has ended.') AS reason,
                    deployments.status = 'CANCELED' AS is_canceled,
                    attempts.number = deployments.attempt
                        AND deployments.last_seq IS NOT NULL
                        AND deployments.log_complete IS NULL AS may_bring_lines,
                    attempts.number = deployments.attempt AND deployments.status = 'READY' AS may_save
                FROM attempts
                JOIN deployments ON deployments.id = attempts.deployment_id
                WHERE attempts.launcher = $1
                    AND attempts.handle IS NOT NULL
                    AND attempts.seen_gone_at IS NULL
                    AND NOT (deployments.status = 'BUILDING' AND attempts.number = deployments.attempt)
                ORDER BY deployments.created_at, attempts.number
                """,
                launcher,
            )
        return [EndedBuilder(**row) for row in rows]

    async def builder_gone(self, builder: EndedBuilder) -> None:
        """The builder does not run any more. Changes nothing if the attempt has another builder, or runs again."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                WITH fence AS (
                    SELECT id, attempt, status
                    FROM deployments
                    WHERE id = $1
                    FOR NO KEY UPDATE
                )
                UPDATE attempts
                SET seen_gone_at = now()
                FROM fence
                WHERE attempts.deployment_id = fence.id
                    AND attempts.number = $2
                    AND attempts.handle = $3
                    AND NOT (fence.status = 'BUILDING' AND fence.attempt = $2)
                """,
                builder.deployment_id,
                builder.attempt,
                builder.handle,
            )

    async def _change(self, fenced_change: str, deployment_id: uuid.UUID, attempt: int, *values: object) -> None:
        async with self._database.acquire() as connection:
            if await connection.fetchval(fenced_change, deployment_id, attempt, *values) is None:
                raise await stale(connection, deployment_id, attempt)
