"""The queue of deployments: who builds next, what was refused, lost or canceled."""

from __future__ import annotations

import uuid

from gateway import lifecycle
from gateway.errors import Conflict, NotFound
from gateway.models import Deployment, Status
from gateway.stores.postgres import Database, storable
from gateway.stores.rows import add_deployment, fetch_deployment, stale, to_deployment

CANCELED = "It was canceled."
NO_LIMIT = 2**31 - 1


class DeploymentQueue:
    """Every transition is one UPDATE, fenced by what it leaves: a late one changes nothing, raises Conflict."""

    _database: Database

    async def create_again(self, slug: str, *, trigger: str = "api") -> Deployment:
        """A new deployment of the project, with its settings of now. Raises NotFound."""
        async with self._database.transaction() as connection:
            project_id = await connection.fetchval(
                """
                SELECT id
                FROM projects
                WHERE subdomain = $1
                FOR NO KEY UPDATE
                """,
                slug,
            )
            if project_id is None:
                raise NotFound(f"No project is called '{slug}'.")
            return await add_deployment(connection, project_id, trigger)

    async def claim(
        self, launcher: str, lease_seconds: float, limit: int = 1, *, concurrency: int = NO_LIMIT
    ) -> list[Deployment]:
        """The oldest that wait and are due, now BUILDING and leased. No two callers ever get the same one.

        No more than `concurrency` build by this launcher at once, however many gateways claim for it. The builder of an
        earlier attempt that nobody has seen end is remembered among `leftovers`.
        """
        async with self._database.transaction() as connection:
            # Gateways that share a launcher count one after the other.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", launcher)
            claimed = await connection.fetch(
                """
                WITH due AS (
                    SELECT id, launcher, handle
                    FROM deployments
                    WHERE status = 'QUEUE' AND launch_after <= now()
                    ORDER BY created_at, id
                    LIMIT least($3, greatest(0, $4 - (
                        SELECT count(*)
                        FROM deployments
                        WHERE status = 'BUILDING' AND launcher = $1
                    )))
                    FOR UPDATE SKIP LOCKED
                ),
                remembered AS (
                    INSERT INTO leftover_builders (launcher, handle, deployment_id)
                    SELECT launcher, handle, id
                    FROM due
                    WHERE handle IS NOT NULL
                    ON CONFLICT (launcher, handle) DO NOTHING
                )
                UPDATE deployments
                SET status = 'BUILDING',
                    launcher = $1,
                    started_at = now(),
                    lease_until = now() + make_interval(secs => $2),
                    handle = NULL,
                    queue_reason = NULL,
                    manifest = NULL,
                    steps = '[]'
                FROM due
                WHERE deployments.id = due.id
                RETURNING deployments.id
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
                [row["id"] for row in claimed],
            )
        return [to_deployment(row) for row in rows]

    async def count_building(self, launcher: str) -> int:
        async with self._database.acquire() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM deployments WHERE status = 'BUILDING' AND launcher = $1", launcher
            )
        return count

    async def launched(self, deployment_id: uuid.UUID, attempt: int, handle: str) -> None:
        """The attempt's builder runs under this handle.

        When the attempt ended meanwhile this raises Conflict, and the handle is kept for `orphans`.
        """
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                UPDATE deployments
                SET handle = $3
                WHERE id = $1
                    AND attempt = $2
                    AND (status = 'BUILDING' OR (status <> 'QUEUE' AND handle IS NULL))
                RETURNING status
                """,
                deployment_id,
                attempt,
                handle,
            )
            if row is None or row["status"] != Status.BUILDING:
                raise await stale(connection, deployment_id, attempt)

    async def refused(self, deployment_id: uuid.UUID, attempt: int, reason: str, *, final: bool = False) -> Status:
        """The launcher did not start it: back to QUEUE with the launcher's words, each time for twice as long.

        FAILED when the refusal is final, or one too many. Raises Conflict where its builder runs already: the launcher
        answered another gateway, which has started it.
        """
        async with self._database.acquire() as connection:
            status = await connection.fetchval(
                """
                UPDATE deployments
                SET status = CASE WHEN refusals + 1 >= $4 THEN 'FAILED' ELSE 'QUEUE' END,
                    reason = CASE WHEN refusals + 1 >= $4 THEN $3 END,
                    completed_at = CASE WHEN refusals + 1 >= $4 THEN now() END,
                    queue_reason = CASE WHEN refusals + 1 >= $4 THEN NULL ELSE $3 END,
                    refusals = refusals + 1,
                    -- Computed here: every gateway, also one that has just started, waits on from the refusals so far.
                    launch_after = now() + make_interval(secs => least($5 * 2.0 ^ least(refusals, 16), $6)),
                    lease_until = NULL,
                    started_at = NULL
                WHERE id = $1
                    AND attempt = $2
                    AND status = 'BUILDING'
                    AND handle IS NULL
                    AND steps = '[]'
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
        """The builder is gone, through no fault of the project: the next attempt waits; FAILED after the last."""
        async with self._database.acquire() as connection:
            status = await connection.fetchval(
                """
                UPDATE deployments
                SET status = CASE WHEN attempt >= $4 THEN 'FAILED' ELSE 'QUEUE' END,
                    reason = CASE WHEN attempt >= $4 THEN $3 END,
                    completed_at = CASE WHEN attempt >= $4 THEN now() END,
                    queue_reason = CASE WHEN attempt >= $4 THEN NULL ELSE $3 END,
                    attempt = CASE WHEN attempt >= $4 THEN attempt ELSE attempt + 1 END,
                    steps = end_last_step(steps, now_ms()),
                    launch_after = now(),
                    lease_until = NULL,
                    manifest = NULL
                WHERE id = $1 AND attempt = $2 AND status = 'BUILDING'
                RETURNING status
                """,
                deployment_id,
                attempt,
                storable(reason),
                attempts_limit,
            )
            if status is None:
                raise await stale(connection, deployment_id, attempt)
            return Status(status)

    async def cancel(self, deployment_id: uuid.UUID) -> Deployment:
        """CANCELED at once, whether it waits or builds. Raises NotFound, and Conflict for what has ended already."""
        async with self._database.transaction() as connection:
            canceled = await connection.fetchval(
                """
                UPDATE deployments
                SET status = 'CANCELED',
                    reason = $2,
                    queue_reason = NULL,
                    completed_at = now(),
                    lease_until = NULL,
                    manifest = NULL,
                    steps = end_last_step(steps, now_ms())
                WHERE id = $1 AND status IN ('QUEUE', 'BUILDING')
                RETURNING id
                """,
                deployment_id,
                CANCELED,
            )
            found = await fetch_deployment(connection, deployment_id)
        if canceled is None:
            raise Conflict(f"Deployment {deployment_id} has ended already: its state is {found.status}.")
        return found

    async def expired(self) -> list[Deployment]:
        """Those that build and whose lease is over, by the database's clock."""
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
        """Those whose attempt has run for longer, by the database's clock: it is one for all gateways."""
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

    async def orphans(self, launcher: str) -> list[Deployment]:
        """Those whose attempt ended, with the handle of this launcher's builder: to be stopped, if it still runs."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM deployment_rows
                WHERE handle IS NOT NULL AND status <> 'BUILDING' AND launcher = $1
                ORDER BY created_at
                """,
                launcher,
            )
        return [to_deployment(row) for row in rows]

    async def leave_behind(self, launcher: str, handle: str, deployment_id: uuid.UUID) -> None:
        """This builder is nobody's any more: it is among `leftovers` until somebody has seen it end."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                INSERT INTO leftover_builders (launcher, handle, deployment_id)
                VALUES ($1, $2, $3)
                ON CONFLICT (launcher, handle) DO NOTHING
                """,
                launcher,
                handle,
                deployment_id,
            )

    async def leftovers(self, launcher: str) -> list[str]:
        """The handles of this launcher's builders that nobody needs and nobody has seen end."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT handle
                FROM leftover_builders
                WHERE launcher = $1
                """,
                launcher,
            )
        return [row["handle"] for row in rows]

    async def leftover_stopped(self, launcher: str, handle: str) -> None:
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                DELETE FROM leftover_builders
                WHERE launcher = $1 AND handle = $2
                """,
                launcher,
                handle,
            )

    async def builder_stopped(self, deployment_id: uuid.UUID, handle: str | None = None) -> None:
        """The builder of the ended attempt runs no more. With `handle`: only if that is still the one remembered."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                UPDATE deployments
                SET handle = NULL
                WHERE id = $1
                    AND status <> 'BUILDING'
                    AND handle = coalesce($2, handle)
                """,
                deployment_id,
                handle,
            )
