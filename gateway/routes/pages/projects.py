"""All projects, and the form for a new one."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping

from aiohttp import web

from gateway.access.guard import ACTOR
from gateway.errors import Invalid
from gateway.models.cause import Cause, CauseKind
from gateway.routes.pages import views
from gateway.routes.pages.forms import read_form
from gateway.routes.pages.frame import is_any_busy, make_frame, moment, render
from gateway.routes.requests import read_new_project, read_page
from gateway.services import SERVICES

PROJECTS_ON_A_PAGE = 50
_KEY = re.compile(r"[0-9a-f-]{36}\Z")


async def show_projects(request: web.Request) -> web.Response:
    return await _projects_page(request, views.view_form({}, {}, "", str(uuid.uuid4())))


async def deploy(request: web.Request) -> web.Response:
    """A plain form, which works without scripts. An error appears next to its field, and the input is kept."""
    typed = await read_form(request)
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


async def _projects_page(request: web.Request, form: views.FormView, status: int = 200) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], moment()
    addresses = services.addresses
    _, cursor = read_page(request.query)
    projects, following = await services.projects.list(actor, PROJECTS_ON_A_PAGE, cursor)
    newest = await services.deployments.newest(actor, [project.id for project in projects])
    page = views.ProjectsPage(
        frame=await make_frame(request, is_busy=request.method == "GET" and is_any_busy(newest.values())),
        form=form,
        projects=tuple(views.view_project(project, newest.get(project.id), addresses, now) for project in projects),
        following=following,
        is_first=cursor is None,
    )
    return render(request, "projects.html", page, status)


def _idempotency(key: str, typed: Mapping[str, str]) -> tuple[str, bytes] | None:
    """The same form sent twice creates one project. A form that was changed and sent again creates another."""
    if not _KEY.match(key):
        return None
    digest = hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).digest()
    return f"form {key} {digest.hex()}", digest
