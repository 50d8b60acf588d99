"""Remembers the deleted projects of which something is still there."""

from __future__ import annotations

import uuid

from gateway.engines.postgres.database import Database

BUILDER_DAYS = 1.0
"""Builders of a gateway that never returns are not waited for after this long; their tokens are of no use."""


class DeletionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self) -> list[uuid.UUID]:
        """Deleted projects without builders, the first one first: nothing is written for them any more."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT id
                FROM projects
                WHERE deleted_at IS NOT NULL
                    AND (deleted_at < now() - make_interval(secs => $1 * 86400) OR NOT EXISTS (
                        SELECT
                        FROM attempts
                        JOIN deployments ON deployments.id = attempts.deployment_id
                        WHERE deployments.project_id = projects.id
                            AND attempts.handle IS NOT NULL
                            AND attempts.seen_gone_at IS NULL
                    ))
                ORDER BY deleted_at, id
                """,
                BUILDER_DAYS,
            )
        return [row["id"] for row in rows]

    async def deployments(self, project_id: uuid.UUID) -> list[uuid.UUID]:
        """All deployments of the project."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch("SELECT id FROM deployments WHERE project_id = $1", project_id)
        return [row["id"] for row in rows]

    async def finish(self, project_id: uuid.UUID) -> None:
        """Remove the rows of a deleted project and all that belongs to it. Its names stay reserved."""
        async with self._database.acquire() as connection:
            await connection.execute("DELETE FROM projects WHERE id = $1 AND deleted_at IS NOT NULL", project_id)
