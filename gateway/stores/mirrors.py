"""Remembers which deployment's files stand in the plain layout, and how far the copying came."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator

from gateway.errors import Conflict
from gateway.stores.postgres import Database


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorRound:
    """One try to make a mirror whole, from file `copied` on. `deployment_id` None: nothing is live, so all goes."""

    slug: str
    project_id: uuid.UUID
    deployment_id: uuid.UUID | None
    number: int
    copied: int


class MirrorStore:
    """`place` names the object store: a mirror that was written to another one is written anew, from its first file."""

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
                    AND NOT (
                        coalesce(mirrors.is_whole, false)
                        AND projects.live_deployment_id IS NOT DISTINCT FROM mirrors.deployment_id
                        AND mirrors.place IS NOT DISTINCT FROM $3
                    )
                ORDER BY slug
                LIMIT $2
                """,
                after,
                limit,
                self._place,
            )
        return [row["slug"] for row in rows]

    @contextlib.asynccontextmanager
    async def claim(self, slug: str) -> AsyncIterator[bool]:
        """Whether this mirror is ours within the block: no other gateway works on it."""
        async with self._database.try_lock(f"mirror {slug}") as held:
            yield held is not None

    async def begin(self, slug: str) -> MirrorRound | None:
        """The next round for this slug, and where an earlier one for the same deployment ended; None: all is well.

        It is remembered before the first object is written: so what a crash leaves is known to be ours.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                """
                INSERT INTO mirrors (slug, project_id, deployment_id, place)
                SELECT
                    asked.slug,
                    coalesce(projects.id, known.project_id),
                    projects.live_deployment_id,
                    $2
                FROM (SELECT $1::text AS slug) AS asked
                LEFT JOIN projects ON projects.subdomain = asked.slug
                LEFT JOIN mirrors AS known ON known.slug = asked.slug
                WHERE projects.live_deployment_id IS NOT NULL OR known.slug IS NOT NULL
                ON CONFLICT (slug) DO UPDATE
                SET project_id = excluded.project_id,
                    deployment_id = excluded.deployment_id,
                    place = excluded.place,
                    round = mirrors.round + 1,
                    copied = CASE
                        WHEN (mirrors.deployment_id, mirrors.place)
                            IS NOT DISTINCT FROM (excluded.deployment_id, excluded.place)
                        THEN mirrors.copied
                        ELSE 0
                    END,
                    is_whole = false
                WHERE NOT mirrors.is_whole
                    OR (mirrors.deployment_id, mirrors.place)
                        IS DISTINCT FROM (excluded.deployment_id, excluded.place)
                RETURNING *
                """,
                slug,
                self._place,
            )
        if row is None:
            return None
        return MirrorRound(row["slug"], row["project_id"], row["deployment_id"], row["round"], row["copied"])

    async def advance(self, begun: MirrorRound, copied: int, *, is_whole: bool = False) -> None:
        """So far the round has come. Raises Conflict if another began meanwhile: then the next begins from nothing."""
        async with self._database.acquire() as connection:
            number = await connection.fetchval(
                """
                UPDATE mirrors
                SET copied = CASE WHEN round = $2 THEN $3 ELSE 0 END,
                    is_whole = round = $2 AND $4,
                    round = CASE WHEN round = $2 THEN round ELSE round + 1 END
                WHERE slug = $1
                RETURNING round
                """,
                begun.slug,
                begun.number,
                copied,
                is_whole,
            )
        if number != begun.number:
            raise Conflict(f"Another gateway has started to mirror '{begun.slug}' meanwhile.")

    async def forget(self, begun: MirrorRound) -> None:
        """Nothing of it is left."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                DELETE FROM mirrors
                WHERE slug = $1 AND round = $2
                """,
                begun.slug,
                begun.number,
            )

    async def is_live(self, begun: MirrorRound) -> bool:
        """Whether what this round mirrors is still what is live."""
        async with self._database.acquire() as connection:
            found: bool = await connection.fetchval(
                """
                SELECT EXISTS (
                    SELECT 1
                    FROM projects
                    WHERE subdomain = $1 AND live_deployment_id = $2
                )
                """,
                begun.slug,
                begun.deployment_id,
            )
        return found
