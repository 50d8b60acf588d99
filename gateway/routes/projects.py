"""Projects: create one, list them, show one, deploy it again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from builder.protocol.branches import is_commit
from gateway.access.guard import ACTOR
from gateway.access.middlewares import Handler
from gateway.errors import NotFound
from gateway.models.actor import Actor
from gateway.models.cause import Cause, CauseKind
from gateway.models.slugs import LABEL
from gateway.routes.answers import ProjectNow, answer
from gateway.routes.bodies import parse_object, read_body, read_json
from gateway.routes.requests import (
    DeploymentRequest,
    EmptyRequest,
    load,
    read_idempotency_key,
    read_new_project,
    read_overrides,
    read_page,
    read_project_change,
    read_slug,
)
from gateway.routes.variable_bodies import read_entries
from gateway.services import SERVICES, Services
from gateway.stores.install_caches import CacheEntry
from gateway.stores.variables import FirstVariables


async def create_project(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    key = read_idempotency_key(request.headers.get("Idempotency-Key"))
    body = await read_json(request, services.config.api.body_bytes)
    wanted = read_new_project(body, services.config.builder.allow_private_hosts)
    actor = request[ACTOR]
    cause = _cause(actor, wanted.source.ref)
    first = await services.variables.seal_first(read_entries(wanted.variables, {}))
    async with _idempotency(services, key, body, first) as idempotency:
        deployment = await services.projects.create(
            actor, wanted.name, wanted.source, wanted.settings, cause, idempotency=idempotency, first=first
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


async def change_project(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    slug = read_slug(request.match_info["slug"])
    body = await read_json(request, services.config.api.body_bytes)
    edit, redirects = read_project_change(body, services.config.builder.allow_private_hosts)
    project = await services.projects.change(actor, slug, edit, redirects=redirects)
    newest = await services.deployments.newest(actor, [project.id])
    return answer(request, ProjectNow(project, newest.get(project.id)))


async def delete_project(request: web.Request) -> web.Response:
    """From now on nothing of it is served; its builders are stopped, then its files, logs and variables removed."""
    slug = read_slug(request.match_info["slug"])
    await expect_nothing(request)
    await forget_project(request, slug)
    return answer(request, {"slug": slug})


async def clear_cache(request: web.Request) -> web.Response:
    slug = read_slug(request.match_info["slug"])
    await expect_nothing(request)
    entries = await forget_installations(request, slug)
    return answer(request, {"installations": len(entries), "bytes": sum(entry.bytes for entry in entries)})


async def forget_installations(request: web.Request, slug: str) -> Sequence[CacheEntry]:
    """A build that has read one already keeps its copy, and may save it again."""
    services = request.app[SERVICES]
    project = await services.projects.get(request[ACTOR], slug)
    return await services.caches.clear(project.id)


async def forget_project(request: web.Request, slug: str) -> None:
    """Delete it, and wake the jobs that do the rest."""
    services = request.app[SERVICES]
    await services.projects.delete(request[ACTOR], slug)
    services.pointers.forget(slug)
    services.leases.wake()
    services.deleter.wake()


@web.middleware
async def follow_renames(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A call about a project's former slug is answered with a redirect to the same call about its present one."""
    try:
        return await handler(request)
    except NotFound:
        old = request.match_info.get("slug", "")
        new = await request.app[SERVICES].hosts.renamed_to(request[ACTOR], old) if LABEL.match(old) else None
        if new is None:
            raise
        resource = request.match_info.route.resource
        assert resource is not None  # noqa: S101 - the path has a slug, so a route was found
        path = resource.url_for(**{**request.match_info, "slug": new})
        raise web.HTTPPermanentRedirect(path.with_query(request.rel_url.query)) from None


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
    variables = await services.variables.seal_overrides(project.id, read_entries(asked["variables"] or (), {}))
    deployment = await services.deployments.request(
        actor, project.slug, source, _cause(actor, source.ref), read_overrides(asked), variables
    )
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


@contextlib.asynccontextmanager
async def _idempotency(
    services: Services, key: str | None, body: dict[str, Any], first: FirstVariables | None
) -> AsyncIterator[tuple[str, bytes] | None]:
    """The key and what the store compares, while this is open: what was asked for, not how the JSON was written."""
    asked = json.dumps(body, sort_keys=True).encode()
    if key is None:
        yield None
    elif first is None:
        yield key, hashlib.sha256(asked).digest()
    else:
        async with services.vault.digest(key, asked, first.key) as digest:
            yield key, digest


def _cause(actor: Actor, ref: str | None) -> Cause:
    if ref is not None and is_commit(ref):
        return Cause(CauseKind.API, actor.kind, commit=ref)
    return Cause(CauseKind.API, actor.kind, ref)
