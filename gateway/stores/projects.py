"""Remembers projects."""

from __future__ import annotations

import contextlib
import datetime
import logging
import uuid
from collections.abc import Callable, Collection
from typing import Any

import asyncpg

from builder.protocol.settings import Settings
from gateway.engines.postgres.database import Database, decode_cursor, encode_cursor
from gateway.errors import Conflict, Invalid, NotFound, Unavailable
from gateway.models.actor import Actor
from gateway.models.cause import Cause
from gateway.models.deployment import Deployment
from gateway.models.project import Project
from gateway.models.slugs import check_slug, random_long_slug, random_slug
from gateway.models.source import Source
from gateway.stores.hosts import free_names, move_slug, reserve_slug
from gateway.stores.queue import NO_LIMIT, cancel, request_deployment
from gateway.stores.rows import fetch_deployment, settings_json, to_project
from gateway.stores.variables import FirstVariables, add_first

log = logging.getLogger(__name__)

SITE_CHANGED = "site_changed"
"""The channel that is notified of a project's slug in the transaction that changes its live release."""
DELETED = "Its project was deleted."
IDEMPOTENCY_DAYS = 7
SHORT_SLUG_TRIES = 10
LONG_SLUG_TRIES = 10


class ProjectStore:
    def __init__(
        self,
        database: Database,
        api_labels: Collection[str] = (),
        choose_slug: Callable[[], str] = random_slug,
        choose_long_slug: Callable[[], str] = random_long_slug,
        queue_length: int = NO_LIMIT,
    ) -> None:
        self._database = database
        self._api_labels = api_labels
        self._queue_length = queue_length
        self._choosers = [choose_slug] * SHORT_SLUG_TRIES + [choose_long_slug] * LONG_SLUG_TRIES

    async def create(
        self,
        actor: Actor,
        name: str,
        source: Source,
        settings: Settings,
        cause: Cause,
        *,
        idempotency: tuple[str, bytes] | None = None,
        first: FirstVariables | None = None,
    ) -> Deployment:
        """Create a project and its first deployment, both or neither. Source and settings are those of both.

        `idempotency` is a key and the sha256 of the request: repeating both returns the first request's deployment, and
        the same key with another request raises Conflict. `first`: its variables, sealed for the id that it then gets.
        Raises TooMany if the queue is full.
        """
        async with self._database.transaction() as connection:
            if idempotency and (made := await _first_with(connection, actor, *idempotency)):
                return made
            project_id = first.key.project_id if first else uuid.uuid4()
            slug = await self._insert(connection, project_id, actor, name, source, settings)
            if first:
                await add_first(connection, actor, first)
            deployment = await request_deployment(connection, actor, slug, source, cause, settings, self._queue_length)
            if idempotency:
                await _remember_key(connection, *idempotency, deployment.id)
        log.info("created project %s with deployment %s by %s", slug, deployment.id, cause.kind)
        return deployment

    async def get(self, actor: Actor, slug: str) -> Project:
        """Raises NotFound."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                SELECT *
                FROM projects
                WHERE subdomain = $1 AND ($2::uuid IS NULL OR created_by = $2)
                """,
                slug,
                actor.owner_id,
            )
        return to_project(_found(row, slug))

    async def list(self, actor: Actor, limit: int, cursor: str | None = None) -> tuple[list[Project], str | None]:
        """The newest first, at most `limit`, and the cursor of the next page. Raises Invalid for a bad cursor."""
        before, before_id = decode_cursor(cursor, _moment, uuid.UUID) if cursor else (None, None)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT *
                FROM projects
                WHERE deleted_at IS NULL
                    AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
                    AND ($4::uuid IS NULL OR created_by = $4)
                ORDER BY created_at DESC, id DESC
                LIMIT $1 + 1
                """,
                limit,
                before,
                before_id,
                actor.owner_id,
            )
        projects = [to_project(row) for row in rows[:limit]]
        more = len(rows) > limit and projects
        return projects, _cursor_after(projects[-1]) if more else None

    async def change(
        self, actor: Actor, slug: str, edit: Callable[[Project], Project], *, redirects: bool = True
    ) -> Project:
        """The project with name, source, slug and settings as `edit` returns them; the next deployment uses them.

        After a change of the slug the old one leads to the new one for some time, unless `redirects` is false. Raises
        NotFound, Invalid for a slug that no project may have, and Conflict for one that is taken.
        """
        async with self._database.transaction() as connection:
            project = to_project(await _locked(connection, actor, slug))
            edited = edit(project)
            if edited.slug != slug:
                check_slug(edited.slug, self._api_labels)
                if not await move_slug(connection, project.id, slug, edited.slug, redirects=redirects):
                    raise Conflict(f"The slug '{edited.slug}' is taken. Choose another one; nothing was changed.")
            await connection.execute(
                """
                UPDATE projects
                SET name = $2,
                    git_url = $3,
                    branch = $4,
                    subdomain = $5,
                    settings = $6
                WHERE id = $1
                """,
                project.id,
                edited.name,
                edited.git_url,
                edited.branch,
                edited.slug,
                settings_json(edited.settings),
            )
            if edited.slug != slug:
                await _notify(connection, slug, edited.slug)
        log.info("changed project %s by %s, now %s", slug, actor.kind, edited.slug)
        return edited

    async def delete(self, actor: Actor, slug: str) -> None:
        """Nothing of the project is served, listed or built from now on; a job removes its files and logs.

        Its names are kept from other projects for some time. Raises NotFound.
        """
        async with self._database.transaction() as connection:
            project_id = (await _locked(connection, actor, slug))["id"]
            await cancel(connection, DELETED, project=project_id)
            await free_names(connection, project_id)
            await connection.execute(
                """
                UPDATE projects
                SET subdomain = ':' || id,
                    live_deployment_id = NULL,
                    deleted_at = now()
                WHERE id = $1
                """,
                project_id,
            )
            await _notify(connection, slug)
        log.info("deleted project %s by %s", slug, actor.kind)

    async def _insert(
        self,
        connection: asyncpg.Connection,
        project_id: uuid.UUID,
        actor: Actor,
        name: str,
        source: Source,
        settings: Settings,
    ) -> str:
        slug = await self._reserve_slug(connection, project_id)
        await connection.execute(
            """
            INSERT INTO projects (
                id,
                name,
                git_url,
                subdomain,
                created_by,
                branch,
                settings
            )
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            project_id,
            name,
            source.url,
            slug,
            actor.owner_id,
            source.ref,
            settings_json(settings),
        )
        return slug

    async def _reserve_slug(self, connection: asyncpg.Connection, project_id: uuid.UUID) -> str:
        for choose in self._choosers:
            slug = choose()
            with contextlib.suppress(Invalid):
                check_slug(slug, self._api_labels)
                if await reserve_slug(connection, slug, project_id):
                    return slug
        raise Unavailable("No free name was found for the project. Try again.")


async def _locked(connection: asyncpg.Connection, actor: Actor, slug: str) -> asyncpg.Record:
    row = await connection.fetchrow(
        """
        SELECT *
        FROM projects
        WHERE subdomain = $1 AND ($2::uuid IS NULL OR created_by = $2)
        FOR NO KEY UPDATE
        """,
        slug,
        actor.owner_id,
    )
    return _found(row, slug)


async def _notify(connection: asyncpg.Connection, *slugs: str) -> None:
    for slug in slugs:
        await connection.execute("SELECT pg_notify($1, $2)", SITE_CHANGED, slug)


async def _first_with(connection: asyncpg.Connection, actor: Actor, key: str, sha256: bytes) -> Deployment | None:
    # A concurrent call with the same key waits here until the first one has committed.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", key)
    row = await connection.fetchrow(
        """
        SELECT body_sha256, deployment_id
        FROM idempotency_keys
        WHERE key = $1
        """,
        key,
    )
    if row is None:
        return None
    if row["body_sha256"] != sha256:
        raise Conflict("This Idempotency-Key was used for a different request. Use a new key for each new project.")
    return await fetch_deployment(connection, row["deployment_id"], actor)


async def _remember_key(connection: asyncpg.Connection, key: str, sha256: bytes, deployment_id: uuid.UUID) -> None:
    await connection.execute(
        """
        INSERT INTO idempotency_keys (key, body_sha256, deployment_id)
        VALUES ($1, $2, $3)
        """,
        key,
        sha256,
        deployment_id,
    )
    await connection.execute(
        """
        DELETE FROM idempotency_keys
        WHERE key IN (
            SELECT key
            FROM idempotency_keys
            WHERE created_at < now() - make_interval(days => $1)
            LIMIT 100
            FOR UPDATE SKIP LOCKED
        )
        """,
        IDEMPOTENCY_DAYS,
    )


def _found(row: Any, slug: str) -> Any:
    if row is None:
        raise NotFound(f"No project is called '{slug}'.")
    return row


def _cursor_after(project: Project) -> str:
    return encode_cursor(project.created_at.isoformat(), str(project.id))


def _moment(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without a time zone")
    return moment
