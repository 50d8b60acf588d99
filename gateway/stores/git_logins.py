"""Remembers how builds log in to the git server of a project. The secret halves are sealed before they come here."""

from __future__ import annotations

import uuid

from gateway.engines.postgres.database import Database
from gateway.errors import NotFound
from gateway.models.actor import Actor
from gateway.models.git_login import GitLogin, LoginKind


class GitLoginStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, project_id: uuid.UUID) -> GitLogin | None:
        """None: the repository is public."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                """
                SELECT
                    kind,
                    name,
                    git_url,
                    sealed,
                    ssh_url,
                    host_key,
                    updated_at
                FROM git_logins
                WHERE project_id = $1
                """,
                project_id,
            )
        return GitLogin(**{**row, "kind": LoginKind(row["kind"])}) if row is not None else None

    async def put(self, actor: Actor, project_id: uuid.UUID, login: GitLogin) -> None:
        """Replaces the one before."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                INSERT INTO git_logins (project_id, kind, name, git_url, ssh_url, host_key, sealed, updated_by)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                ON CONFLICT (project_id) DO UPDATE
                SET kind = excluded.kind,
                    name = excluded.name,
                    git_url = excluded.git_url,
                    ssh_url = excluded.ssh_url,
                    host_key = excluded.host_key,
                    sealed = excluded.sealed,
                    updated_at = now(),
                    updated_by = excluded.updated_by
                """,
                project_id,
                login.kind,
                login.name,
                login.git_url,
                login.ssh_url,
                login.host_key,
                login.sealed,
                actor.kind,
            )

    async def delete(self, project_id: uuid.UUID) -> None:
        """Raises NotFound."""
        async with self._database.acquire() as connection:
            gone = await connection.fetchval(
                "DELETE FROM git_logins WHERE project_id = $1 RETURNING project_id", project_id
            )
        if gone is None:
            raise NotFound("The project has no git login: its repository is cloned as a public one.")
