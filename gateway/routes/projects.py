"""Projects: create one, list them, show one, deploy it again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from aiohttp import web

from builder.protocol.branches import is_commit
from builder.protocol.settings import Settings
from gateway.access.guard import ACTOR
from gateway.models.actor import Actor
from gateway.models.cause import Cause, CauseKind
from gateway.routes.answers import ProjectNow, answer
from gateway.routes.bodies import parse_object, read_body, read_json
from gateway.routes.requests import (
    DeploymentRequest,
    EmptyRequest,
    load,
    read_idempotency_key,
    read_new_project,
    read_page,
    read_slug,
)
from gateway.services import SERVICES


async def create_project(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    key = read_idempotency_key(request.headers.get("Idempotency-Key"))
    body = await read_json(request, services.config.api.body_bytes)
    wanted = read_new_project(body, services.config.builder.allow_private_hosts)
    # Compares what was asked for, not how the JSON was written.
    asked = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
    idempotency = (key, asked) if key is not None else None
    actor = request[ACTOR]
    cause = _cause(actor, wanted.source.ref)
    deployment = await services.projects.create(
        actor, wanted.name, wanted.source, wanted.settings, cause, idempotency=idempotency
    )
    services.dispatcher.wake()
    return answer(request, deployment, Location=f"/project/{deployment.project_slug}")


async def list_projects(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    limit, cursor = read_page(request.query)
    projects, following = await services.projects.list(request[ACTOR], limit, cursor)
    newest = await services.deployments.newest(request[ACTOR], [project.id for project in projects])
    shown = [ProjectNow(project, newest.get(project.id)) for project in projects]
    return answer(request, {"projects": shown, "next": following})


async def show_project(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    project = await services.projects.get(request[ACTOR], read_slug(request.match_info["slug"]))
    newest = await services.deployments.newest(request[ACTOR], [project.id])
    return answer(request, ProjectNow(project, newest.get(project.id)))


async def list_deployments(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    limit, cursor = read_page(request.query)
    slug = read_slug(request.match_info["slug"])
    deployments, following = await services.deployments.list(request[ACTOR], slug, limit, cursor)
    return answer(request, {"deployments": deployments, "next": following})


async def deploy_again(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    asked = load(DeploymentRequest(), await _read_optional(request))
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    source = dataclasses.replace(project.source, ref=asked["ref"] or project.source.ref)
    deployment = await services.deployments.request(actor, project.slug, source, _cause(actor, source.ref), Settings())
    services.dispatcher.wake()
    return answer(request, deployment, Location=f"/deployment/{deployment.id}")


async def expect_nothing(request: web.Request) -> None:
    """The body may be missing or an empty object. Raises Invalid for anything else."""
    load(EmptyRequest(), await _read_optional(request))


async def _read_optional(request: web.Request) -> dict[str, Any]:
    """The object in the body, empty if there is no body. Raises Invalid."""
    if request.content_type == "application/json" or request.can_read_body:
        body = await read_body(request, request.app[SERVICES].config.api.body_bytes)
        if body:
            return parse_object(body)
    return {}


def _cause(actor: Actor, ref: str | None) -> Cause:
    if ref is not None and is_commit(ref):
        return Cause(CauseKind.API, actor.kind, commit=ref)
    return Cause(CauseKind.API, actor.kind, ref)
