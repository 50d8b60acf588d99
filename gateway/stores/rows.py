"""Rows of PostgreSQL as values of gateway/models/."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import asyncpg

from builder.protocol.calls import Failure, Isolation
from builder.protocol.settings import SETTINGS, Settings, UsedSetting
from builder.protocol.steps import Step
from gateway.errors import Conflict, NotFound
from gateway.models.actor import OWNER, Actor
from gateway.models.attempt import Attempt, StepTiming
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Deployment, Status
from gateway.models.project import Project
from gateway.models.source import GitRef


def to_project(row: Mapping[str, Any]) -> Project:
    return Project(
        id=row["id"],
        name=row["name"],
        slug=row["subdomain"],
        git_url=row["git_url"],
        branch=row["branch"],
        settings=Settings(**json.loads(row["settings"])),
        live_deployment_id=row["live_deployment_id"],
        activation_floor=row["activation_floor"],
        created_at=row["created_at"],
    )


def to_deployment(row: Mapping[str, Any]) -> Deployment:
    """From a row of the view deployment_rows."""
    return Deployment(
        id=row["id"],
        project_id=row["project_id"],
        project_slug=row["project_slug"],
        project_name=row["project_name"],
        number=row["number"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        source=GitRef(row["git_url"], row["branch"], row["commit_sha"]),
        cause=Cause(CauseKind(row["cause_kind"]), row["cause_actor"], row["cause_branch"], row["cause_commit"]),
        settings=Settings(**json.loads(row["settings"])),
        overrides=Settings(**json.loads(row["overrides"])),
        used_settings=tuple(UsedSetting(**each) for each in json.loads(row["used_settings"])),
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        lease_until=row["lease_until"],
        launcher=row["launcher"],
        handle=row["handle"],
        queue_reason=row["queue_reason"],
        reason=row["reason"],
        exit_code=row["exit_code"],
        commit_message=row["commit_message"],
        framework=row["framework"],
        node_version=row["built_with_node"],
        isolation=Isolation(row["isolation"]) if row["isolation"] else None,
        steps=_to_steps(row["steps"]),
        files=row["files"],
        bytes=row["bytes"],
        last_seq=row["last_seq"],
        log_complete=row["log_complete"],
        log_missing=tuple((first, last) for first, last in json.loads(row["log_missing"])),
        is_live=row["is_live"],
    )


def to_attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        row["number"],
        row["launcher"],
        row["started_at"],
        _to_steps(row["steps"]),
        row["reason"],
        _to_failure(row["failure"]),
    )


async def fetch_deployment(
    connection: asyncpg.Connection, deployment_id: uuid.UUID, actor: Actor = OWNER
) -> Deployment:
    """Raises NotFound, also if it belongs to another owner or its project was deleted."""
    row = await connection.fetchrow(
        """
        SELECT *
        FROM deployment_rows
        WHERE id = $1
            AND project_id IN (
                SELECT id
                FROM projects
                WHERE deleted_at IS NULL AND ($2::uuid IS NULL OR created_by = $2)
            )
        """,
        deployment_id,
        actor.owner_id,
    )
    if row is None:
        raise NotFound(f"There is no deployment {deployment_id}.")
    return to_deployment(row)


async def stale(connection: asyncpg.Connection, deployment_id: uuid.UUID, attempt: int) -> Conflict:
    """The error for a fenced UPDATE that found no row. Raises NotFound if there is no such deployment."""
    found = await fetch_deployment(connection, deployment_id)
    if found.attempt != attempt:
        return Conflict(f"Attempt {attempt} is over: deployment {deployment_id} is at attempt {found.attempt}.")
    return Conflict(
        f"Attempt {attempt} of deployment {deployment_id} is not running: the deployment's state is {found.status}."
    )


def settings_json(settings: Settings) -> str:
    """Those that are set, by name."""
    values = {setting.name: getattr(settings, setting.name) for setting in SETTINGS}
    return json.dumps({name: value for name, value in values.items() if value is not None})


def _to_failure(text: str | None) -> Failure | None:
    if text is None:
        return None
    found = json.loads(text)
    return Failure(**{**found, "step": Step(found["step"])})


def _to_steps(text: str) -> tuple[StepTiming, ...]:
    return tuple(StepTiming(Step(step["name"]), step["startedAt"], step["seconds"]) for step in json.loads(text))
