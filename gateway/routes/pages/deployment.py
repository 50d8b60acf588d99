"""A deployment with its log."""

from __future__ import annotations

import uuid

from aiohttp import web

from gateway.access.guard import ACTOR
from gateway.errors import Invalid, NotFound
from gateway.models.deployment import Status
from gateway.routes.pages import views
from gateway.routes.pages.forms import read_form
from gateway.routes.pages.frame import make_frame, moment, render
from gateway.routes.requests import read_deployment_id
from gateway.services import SERVICES


async def show_deployment(request: web.Request) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], moment()
    addresses = services.addresses
    deployment = await services.deployments.get(actor, _deployment_id(request))
    project = await services.projects.get(actor, deployment.project_slug)
    attempts = await services.deployments.attempts(actor, deployment.id)
    page = views.DeploymentPage(
        frame=await make_frame(request, is_busy=not deployment.status.is_final, current=project.slug, has_find=False),
        project=views.view_project(project, deployment, addresses, now),
        deployment=views.view_deployment(deployment, addresses, now),
        attempts=views.view_attempts(attempts),
        failure=views.view_failure(attempts) if deployment.status is Status.FAILED else None,
    )
    return render(request, "deployment.html", page)


async def cancel(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    await read_form(request)
    deployment = await services.deployments.cancel(request[ACTOR], _deployment_id(request))
    services.dispatcher.wake()
    services.leases.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def promote(request: web.Request) -> web.Response:
    await read_form(request)
    deployment = await request.app[SERVICES].releases.promote(request[ACTOR], _deployment_id(request))
    raise web.HTTPSeeOther(f"/p/{deployment.project_slug}")


def _deployment_id(request: web.Request) -> uuid.UUID:
    """Raises NotFound, also for an id of the wrong form."""
    try:
        return read_deployment_id(request.match_info["deployment"])
    except Invalid as error:
        raise NotFound("There is no such deployment.") from error
