"""The pages for people: projects, a project with its deployments, a deployment with its log, the login."""

from __future__ import annotations

import datetime
import hashlib
import importlib.resources
import json
import re
import urllib.parse
import uuid
from collections.abc import Iterable, Mapping

import aiohttp_jinja2
import jinja2
from aiohttp import web

from builder.protocol.settings import Settings
from gateway.access.calls import SESSION_SECONDS, cookie_name, is_open
from gateway.access.guard import ACTOR
from gateway.access.middlewares import ERROR_PAGE, describe
from gateway.errors import Forbidden, Invalid, NotFound, Unauthorized
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Deployment
from gateway.routes import views
from gateway.routes.assets import ASSETS, Assets
from gateway.routes.bodies import read_body
from gateway.routes.schemas import read_deployment_id, read_new_project, read_page, read_slug
from gateway.services import SERVICES

PROJECTS_BESIDE = 100
PROJECTS_ON_A_PAGE = 50
DEPLOYMENTS_ON_A_PAGE = 20
REFRESH_MS = 2000
MAX_FIELDS = 50
HEADINGS = {
    400: "This is not possible",
    401: "Log in",
    403: "Not allowed",
    404: "Nothing is here",
    405: "This is not possible",
    409: "Not any more",
    413: "Too large",
    429: "Too many at once",
    421: "Wrong address",
    500: "Something failed",
    503: "Not available now",
}
_KEY = re.compile(r"[0-9a-f-]{36}\Z")
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*\Z")


def setup_pages(app: web.Application) -> None:
    """Add the pages, their assets and their error page to the app of the API."""
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
    app[ASSETS] = assets


async def show_projects(request: web.Request) -> web.Response:
    return await _projects_page(request, views.view_form({}, {}, "", str(uuid.uuid4())))


async def deploy(request: web.Request) -> web.Response:
    """A plain form, which works without scripts. An error appears next to its field, and the input is kept."""
    typed = await _read_form(request)
    key = typed.pop("key", "")
    services, actor = request.app[SERVICES], request[ACTOR]
    asked = {name: value.strip() for name, value in typed.items() if value.strip()}
    try:
        wanted = read_new_project(asked, services.config.builder.allow_private_hosts)
        cause = Cause(CauseKind.FORM, actor.kind, wanted.source.ref)
        deployment = await services.projects.create(
            actor, wanted.name, wanted.source, wanted.settings, cause, idempotency=_idempotency(key, asked)
        )
    except Invalid as error:
        form = views.view_form(typed, error.fields, error.sentence, key)
        return await _projects_page(request, form, status=400)
    services.dispatcher.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def show_project(request: web.Request) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], _now()
    addresses = services.addresses
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    _, cursor = read_page(request.query)
    deployments, following = await services.deployments.list(actor, project.slug, DEPLOYMENTS_ON_A_PAGE, cursor)
    newest = await services.deployments.newest(actor, [project.id])
    live = await services.deployments.get(actor, project.live_deployment_id) if project.live_deployment_id else None
    usual = views.usual_seconds([*deployments, *([live] if live else [])])
    page = views.ProjectPage(
        frame=await _frame(request, is_busy=_is_busy(deployments), current=project.slug),
        project=views.view_project(project, newest.get(project.id), addresses, now),
        live=views.view_deployment(live, addresses, now) if live else None,
        deployments=tuple(views.view_deployment(deployment, addresses, now, usual) for deployment in deployments),
        following=following,
        is_first=cursor is None,
    )
    return _render(request, "project.html", page)


async def deploy_again(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    await _read_form(request)
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    cause = Cause(CauseKind.FORM, actor.kind, project.branch)
    deployment = await services.deployments.request(actor, project.slug, project.source, cause, Settings())
    services.dispatcher.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def show_deployment(request: web.Request) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], _now()
    addresses = services.addresses
    deployment = await services.deployments.get(actor, _deployment_id(request))
    project = await services.projects.get(actor, deployment.project_slug)
    page = views.DeploymentPage(
        frame=await _frame(request, is_busy=not deployment.status.is_final, current=project.slug, has_find=False),
        project=views.view_project(project, deployment, addresses, now),
        deployment=views.view_deployment(deployment, addresses, now),
        attempts=views.view_attempts(await services.deployments.attempts(actor, deployment.id)),
    )
    return _render(request, "deployment.html", page)


async def cancel(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    await _read_form(request)
    deployment = await services.deployments.cancel(request[ACTOR], _deployment_id(request))
    services.dispatcher.wake()
    services.reconciler.wake()
    raise web.HTTPSeeOther(f"/d/{deployment.id}")


async def promote(request: web.Request) -> web.Response:
    await _read_form(request)
    deployment = await request.app[SERVICES].releases.promote(request[ACTOR], _deployment_id(request))
    raise web.HTTPSeeOther(f"/p/{deployment.project_slug}")


async def show_login(request: web.Request) -> web.Response:
    following = _own_path(request.query.get("next", ""))
    if is_open(describe(request)):
        raise web.HTTPSeeOther(following)
    return _login_page(request, following)


async def log_in(request: web.Request) -> web.Response:
    typed = await _read_form(request)
    following = _own_path(typed.get("next", ""))
    try:
        session = await request.app[SERVICES].access.log_in(typed.get("token", "").strip(), describe(request).client)
    except Unauthorized as error:
        return _login_page(request, following, error=error.sentence)
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
    await _read_form(request)
    response = web.HTTPSeeOther("/login")
    is_secure = describe(request).is_secure
    response.del_cookie(cookie_name(is_secure), path="/", secure=is_secure, httponly=True, samesite="Strict")
    raise response


async def show_error(request: web.Request, status: int, sentence: str) -> web.Response:
    """An error as a page. It calls no engine, because that may be the one that is away."""
    if status == 401:
        return _login_page(request, request.path_qs if request.method == "GET" else "/")
    page = views.ErrorPage(_bare_frame(request), status, HEADINGS.get(status, "This is not possible"), sentence)
    return _render(request, "error.html", page, status)


async def _projects_page(request: web.Request, form: views.FormView, status: int = 200) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], _now()
    addresses = services.addresses
    _, cursor = read_page(request.query)
    projects, following = await services.projects.list(actor, PROJECTS_ON_A_PAGE, cursor)
    newest = await services.deployments.newest(actor, [project.id for project in projects])
    page = views.ProjectsPage(
        frame=await _frame(request, is_busy=request.method == "GET" and _is_busy(newest.values())),
        form=form,
        projects=tuple(views.view_project(project, newest.get(project.id), addresses, now) for project in projects),
        following=following,
        is_first=cursor is None,
    )
    return _render(request, "projects.html", page, status)


def _login_page(request: web.Request, following: str, *, error: str = "") -> web.Response:
    page = views.LoginPage(_bare_frame(request), following, error)
    return _render(request, "login.html", page, 200 if request.path == "/login" and not error else 401)


async def _frame(request: web.Request, *, is_busy: bool, current: str = "", has_find: bool = True) -> views.FrameView:
    services, actor, now = request.app[SERVICES], request[ACTOR], _now()
    addresses = services.addresses
    projects, _ = await services.projects.list(actor, PROJECTS_BESIDE)
    newest = await services.deployments.newest(actor, [project.id for project in projects])
    beside = tuple(views.view_project(project, newest.get(project.id), addresses, now) for project in projects)
    return views.FrameView(beside, current, _has_session(request), REFRESH_MS if is_busy else None, has_find)


def _bare_frame(request: web.Request) -> views.FrameView:
    return views.FrameView(None, "", _has_session(request), None, has_find=False)


def _has_session(request: web.Request) -> bool:
    return describe(request).session is not None


def _is_busy(deployments: Iterable[Deployment]) -> bool:
    return any(not deployment.status.is_final for deployment in deployments)


def _deployment_id(request: web.Request) -> uuid.UUID:
    """Raises NotFound, also for an id of the wrong form."""
    try:
        return read_deployment_id(request.match_info["deployment"])
    except Invalid as error:
        raise NotFound("There is no such deployment.") from error


async def _read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form that one of these pages sent. Raises Forbidden for a form from elsewhere."""
    caller = describe(request)
    if not caller.header("Origin") and caller.header("Sec-Fetch-Site") != "same-origin":
        raise Forbidden("Forms are accepted from this gateway's own pages only. Programs call the API with JSON.")
    body = await read_body(request, request.app[SERVICES].config.api.body_bytes)
    try:
        fields = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise Invalid("The body is not a form.") from error
    return dict(fields)


def _idempotency(key: str, typed: Mapping[str, str]) -> tuple[str, bytes] | None:
    """The same form sent twice creates one project. A form that was changed and sent again creates another."""
    if not _KEY.match(key):
        return None
    digest = hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).digest()
    return f"form {key} {digest.hex()}", digest


def _own_path(text: str) -> str:
    """The path to go to next. Only a path of the gateway, never another site."""
    parts = urllib.parse.urlsplit(text)
    is_own = not parts.scheme and not parts.netloc and _PATH.match(text)
    return text if is_own else "/"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _render(request: web.Request, template: str, page: views.Page, status: int = 200) -> web.Response:
    response = aiohttp_jinja2.render_template(template, request, {"page": page}, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
