"""Remembers which deployment's files stand, whole, in the plain layout."""

from __future__ import annotations

import dataclasses
import uuid
from contextlib import AbstractAsyncContextManager

from gateway.stores.postgres import Database, Held


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorTask:
    """A mirror that is not what is live. `live`: project and deployment; None: nothing is, so all of its files go."""

    slug: str
    live: tuple[uuid.UUID, uuid.UUID] | None


class MirrorStore:
    """`place` names the object store: a mirror that was written to another one counts for nothing."""

    def __init__(self, database: Database, place: str) -> None:
        self._database = database
        self._place = place

    async def outdated(self, after: str, limit: int) -> list[str]:
        """The slugs after this one whose mirror is not what is live, in order."""
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
        """A lock of the mirror's own. None: another gateway works on it."""
        return self._database.try_lock(f"mirror {slug}")

    async def begin(self, slug: str) -> MirrorTask | None:
        """What is to be done about this mirror. None: nothing.

        It is remembered before the first object is written: so what a crash leaves is known to be ours, and not whole.
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
        """The mirror is whole, or, where nothing is live, gone."""
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
        """Whatever is known of this mirror, it may not be so any more."""
        async with self._database.acquire() as connection:
            await connection.execute("UPDATE mirrors SET deployment_id = NULL WHERE slug = $1", slug)
