"""What all pages have: the frame with the list of projects, and how they are rendered."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import aiohttp_jinja2
from aiohttp import web

from gateway.access.guard import ACTOR
from gateway.access.middlewares import describe
from gateway.models.deployment import Deployment
from gateway.routes.pages import views
from gateway.services import SERVICES

PROJECTS_BESIDE = 100
REFRESH_MS = 2000


async def make_frame(
    request: web.Request, *, is_busy: bool, current: str = "", has_find: bool = True
) -> views.FrameView:
    services, actor, now = request.app[SERVICES], request[ACTOR], moment()
    addresses = services.addresses
    projects, _ = await services.projects.list(actor, PROJECTS_BESIDE)
    newest = await services.deployments.newest(actor, [project.id for project in projects])
    beside = tuple(views.view_project(project, newest.get(project.id), addresses, now) for project in projects)
    return views.FrameView(beside, current, _has_session(request), REFRESH_MS if is_busy else None, has_find)


def bare_frame(request: web.Request) -> views.FrameView:
    return views.FrameView(None, "", _has_session(request), None, has_find=False)


def _has_session(request: web.Request) -> bool:
    return describe(request).session is not None


def is_any_busy(deployments: Iterable[Deployment]) -> bool:
    return any(not deployment.status.is_final for deployment in deployments)


def moment() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def render(request: web.Request, template: str, page: views.Page, status: int = 200) -> web.Response:
    response = aiohttp_jinja2.render_template(template, request, {"page": page}, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
