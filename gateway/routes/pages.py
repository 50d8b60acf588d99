"""The pages for people: projects, a project with its deployments, a deployment with its log, the login."""

from __future__ import annotations

import datetime
import importlib.resources
import re
import urllib.parse
import uuid
from collections.abc import Mapping

import aiohttp_jinja2
import jinja2
from aiohttp import web

from gateway.access import SESSION_SECONDS, cookie_name, is_open
from gateway.addresses import Addresses
from gateway.errors import GatewayError, Invalid, NotFound, Unauthorized
from gateway.middlewares import ERROR_PAGE, describe
from gateway.models import Deployment, Project
from gateway.routes import views
from gateway.routes.assets import Assets
from gateway.routes.schemas import read_new_project
from gateway.services import SERVICES, Services

PROJECTS_BESIDE = 100
PROJECTS_ON_A_PAGE = 50
DEPLOYMENTS_ON_A_PAGE = 20
REFRESH_MS = 2000
HEADINGS = {
    400: "That is not possible",
    401: "Log in",
    403: "Not allowed",
    404: "Nothing is here",
    405: "That is not possible",
    409: "Not any more",
    413: "Too large",
    421: "Wrong address",
    500: "Something failed",
    503: "Not available now",
}
_KEY = re.compile(r"[0-9a-f-]{36}\Z")


def setup_pages(app: web.Application) -> None:
    """Add the pages, their files and their look of errors to the app that answers the API."""
    package = importlib.resources.files("gateway")
    assets = Assets(package / "static")
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("gateway"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = assets.url
    app[ERROR_PAGE] = show_error
    app.router.add_get("/", show_projects)
    app.router.add_post("/deploy", deploy)
    app.router.add_get("/p/{slug}", show_project)
    app.router.add_post("/p/{slug}/deploy", deploy_again)
    app.router.add_get("/d/{deployment}", show_deployment)
    app.router.add_post("/d/{deployment}/cancel", cancel)
    app.router.add_post("/d/{deployment}/promote", promote)
    app.router.add_get("/login", show_login)
    app.router.add_post("/login", log_in)
    app.router.add_post("/logout", log_out)
    app.router.add_get("/static/{version}/{name:.+}", assets.handle)


async def show_projects(request: web.Request) -> web.Response:
    return await _projects_page(request, views.view_form({}, {}, "", str(uuid.uuid4())))


async def deploy(request: web.Request) -> web.Response:
    """A form, so that it works without scripts. What is wrong is said next to its field; what was typed is kept."""
    typed = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    key = typed.pop("key", "")
    services = request.app[SERVICES]
    try:
        wanted = read_new_project({name: value.strip() for name, value in typed.items() if value.strip()})
        deployment = await services.projects.create(wanted.name, wanted.git_url, wanted.settings, trigger="form")
    except Invalid as error:
        form = views.view_form(typed, error.fields, "" if error.fields else error.sentence, key)
        return await _projects_page(request, form, status=400)
    services.dispatcher.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def show_project(request: web.Request) -> web.Response:
    services, now = request.app[SERVICES], _now()
    addresses = _addresses(services)
    project = await services.projects.get(request.match_info["slug"])
    cursor = request.query.get("cursor")
    deployments, following = await services.deployments.list(project.slug, DEPLOYMENTS_ON_A_PAGE, cursor)
    newest = await services.deployments.newest([project.id])
    live = await services.deployments.get(project.live_deployment_id) if project.live_deployment_id else None
    usual = views.usual_seconds([*deployments, *([live] if live else [])])
    context = {
        "frame": await _frame(request, is_busy=_is_busy(deployments), current=project.slug),
        "project": views.view_project(project, newest.get(project.id), addresses, now),
        "live": views.view_deployment(live, addresses, now) if live else None,
        "deployments": [views.view_deployment(deployment, addresses, now, usual) for deployment in deployments],
        "following": following,
        "is_first": cursor is None,
    }
    return _render(request, "project.html", context)


async def deploy_again(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    deployment = await services.deployments.create_again(request.match_info["slug"], trigger="form")
    services.dispatcher.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def show_deployment(request: web.Request) -> web.Response:
    services, now = request.app[SERVICES], _now()
    deployment = await services.deployments.get(_deployment_id(request))
    project = await services.projects.get(deployment.project_slug)
    context = {
        "frame": await _frame(
            request, is_busy=not deployment.status.is_final, current=deployment.project_slug, has_find=False
        ),
        "project": views.view_project(project, deployment, _addresses(services), now),
        "deployment": views.view_deployment(deployment, _addresses(services), now),
    }
    return _render(request, "deployment.html", context)


async def cancel(request: web.Request) -> web.Response:
    deployment = await request.app[SERVICES].deployments.cancel(_deployment_id(request))
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def promote(request: web.Request) -> web.Response:
    deployment = await request.app[SERVICES].deployments.promote(_deployment_id(request))
    raise web.HTTPSeeOther(f"/p/{deployment.project_slug}")


async def show_login(request: web.Request) -> web.Response:
    if is_open(describe(request)):
        raise web.HTTPSeeOther(_own_path(request.query.get("next")))
    return _login_page(request, _own_path(request.query.get("next")))


async def log_in(request: web.Request) -> web.Response:
    typed = await request.post()
    following = _own_path(str(typed.get("next", "")))
    try:
        session = await request.app[SERVICES].access.log_in(str(typed.get("token", "")).strip())
    except Unauthorized as error:
        return _login_page(request, following, error=error.sentence, status=401)
    response = web.HTTPSeeOther(following)
    is_secure = describe(request).is_secure
    response.set_cookie(
        cookie_name(is_secure),
        session,
        max_age=SESSION_SECONDS,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="Strict",
    )
    raise response


async def log_out(request: web.Request) -> web.Response:
    response = web.HTTPSeeOther("/login")
    is_secure = describe(request).is_secure
    response.del_cookie(cookie_name(is_secure), path="/", secure=is_secure, httponly=True, samesite="Strict")
    raise response


async def show_error(request: web.Request, status: int, sentence: str) -> web.Response:
    """An error, to a person. Nothing is asked of an engine: it may be the one that is away."""
    if status == 401:
        return _login_page(request, request.path_qs if request.method == "GET" else "/", status=401)
    context = {"frame": _bare_frame(request), "heading": HEADINGS.get(status, "That is not possible")}
    return _render(request, "error.html", {**context, "status": status, "sentence": sentence}, status)


async def _projects_page(request: web.Request, form: views.FormView, status: int = 200) -> web.Response:
    services, now = request.app[SERVICES], _now()
    cursor = request.query.get("cursor") if request.method == "GET" else None
    projects, following = await services.projects.list(PROJECTS_ON_A_PAGE, cursor)
    newest = await services.deployments.newest([project.id for project in projects])
    shown = [views.view_project(project, newest.get(project.id), _addresses(services), now) for project in projects]
    context = {
        "frame": await _frame(request, is_busy=_is_busy(newest.values())),
        "form": form,
        "projects": shown,
        "following": following,
        "is_first": cursor is None,
    }
    return _render(request, "projects.html", context, status)


def _login_page(request: web.Request, following: str, *, error: str = "", status: int = 200) -> web.Response:
    context = {"frame": _bare_frame(request), "following": following, "error": error}
    return _render(request, "login.html", context, status)
