"""Remembers which deployment's files are complete in the plain layout."""

from __future__ import annotations

import dataclasses
import uuid
from contextlib import AbstractAsyncContextManager

from gateway.engines.postgres.database import Database, Held


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorTask:
    """A mirror that differs from what is live. `live`: project and deployment, or None to delete all files."""

    slug: str
    live: tuple[uuid.UUID, uuid.UUID] | None


class MirrorStore:
    """`place` names the object store. A mirror that was written to another one does not count."""

    def __init__(self, database: Database, place: str) -> None:
        self._database = database
        self._place = place

    async def outdated(self, after: str, limit: int) -> list[str]:
        """The slugs after this one whose mirror differs from what is live, in order."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT coalesce(projects.subdomain, mirrors.slug) AS slug
                FROM projects
                FULL JOIN mirrors ON mirrors.slug = projects.subdomain
                WHERE coalesce(projects.subdomain, mirrors.slug) > $1
                    AND (projects.live_deployment_id IS NOT NULL OR mirrors.slug IS NOT NULL)
                    AND (projects.live_deployment_id = mirrors.deployment_id AND mirrors.place = $3) IS NOT TRUE
                ORDER BY slug
                LIMIT $2
                """,
                after,
                limit,
                self._place,
            )
        return [row["slug"] for row in rows]

    def claim(self, slug: str) -> AbstractAsyncContextManager[Held | None]:
        """A lock on one mirror. None: another gateway works on it."""
        return self._database.try_lock(f"mirror {slug}")

    async def begin(self, slug: str) -> MirrorTask | None:
        """What has to be done for this mirror. None: nothing.

        The mirror is marked incomplete before the first object is written. So after a crash it is known to be ours, and
        incomplete.
        """
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                INSERT INTO mirrors (slug, place)
                SELECT
                    asked.slug,
                    $2
                FROM (SELECT $1::text AS slug) AS asked
                LEFT JOIN projects ON projects.subdomain = asked.slug
                LEFT JOIN mirrors AS known ON known.slug = asked.slug
                WHERE (projects.live_deployment_id IS NOT NULL OR known.slug IS NOT NULL)
                    AND (projects.live_deployment_id = known.deployment_id AND known.place = $2) IS NOT TRUE
                ON CONFLICT (slug) DO UPDATE
                SET deployment_id = NULL,
                    place = excluded.place
                RETURNING
                    (SELECT id FROM projects WHERE subdomain = $1) AS project_id,
                    (SELECT live_deployment_id FROM projects WHERE subdomain = $1) AS deployment_id
                """,
                slug,
                self._place,
            )
        if row is None:
            return None
        return MirrorTask(slug, (row["project_id"], row["deployment_id"]) if row["deployment_id"] else None)

    async def finish(self, task: MirrorTask) -> None:
        """The mirror is complete or, if nothing is live, removed."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                WITH gone AS (
                    DELETE FROM mirrors
                    WHERE slug = $1 AND $2::uuid IS NULL
                )
                UPDATE mirrors
                SET deployment_id = $2
                WHERE slug = $1 AND $2 IS NOT NULL
                """,
                task.slug,
                task.live[1] if task.live else None,
            )

    async def doubt(self, slug: str) -> None:
        """Mark the mirror incomplete."""
        async with self._database.acquire() as connection:
            await connection.execute("UPDATE mirrors SET deployment_id = NULL WHERE slug = $1", slug)
