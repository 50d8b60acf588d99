"""A project with its deployments."""

from __future__ import annotations

from aiohttp import web

from builder.protocol.settings import Settings
from gateway.access.guard import ACTOR
from gateway.models.cause import Cause, CauseKind
from gateway.routes.pages import views
from gateway.routes.pages.forms import read_form
from gateway.routes.pages.frame import is_any_busy, make_frame, moment, render
from gateway.routes.requests import read_page, read_slug
from gateway.services import SERVICES

DEPLOYMENTS_ON_A_PAGE = 20


async def show_project(request: web.Request) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], moment()
    addresses = services.addresses
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    _, cursor = read_page(request.query)
    deployments, following = await services.deployments.list(actor, project.slug, DEPLOYMENTS_ON_A_PAGE, cursor)
    newest = await services.deployments.newest(actor, [project.id])
    live = await services.deployments.get(actor, project.live_deployment_id) if project.live_deployment_id else None
    usual = views.usual_seconds([*deployments, *([live] if live else [])])
    page = views.ProjectPage(
        frame=await make_frame(request, is_busy=is_any_busy(deployments), current=project.slug),
        project=views.view_project(project, newest.get(project.id), addresses, now),
        live=views.view_deployment(live, addresses, now) if live else None,
        deployments=tuple(views.view_deployment(deployment, addresses, now, usual) for deployment in deployments),
        following=following,
        is_first=cursor is None,
    )
    return render(request, "project.html", page)


async def deploy_again(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    await read_form(request)
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    cause = Cause(CauseKind.FORM, actor.kind, project.branch)
    deployment = await services.deployments.request(actor, project.slug, project.source, cause, Settings())
    services.dispatcher.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")
