"""A project's variables: what is set, and forms to set one, paste a .env file, copy another project's, delete one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from gateway.access.guard import ACTOR
from gateway.errors import Invalid, NotFound
from gateway.models.variable import warn_about
from gateway.routes.pages import views
from gateway.routes.pages.forms import read_form
from gateway.routes.pages.frame import make_frame, moment, render
from gateway.routes.requests import read_slug
from gateway.routes.variable_bodies import load_variables, read_context, read_variables
from gateway.services import SERVICES

KEPT = ("name", "context", "copyFrom", "secret", "public")
VALUES = ("value", "dotenv")
"""What a refused form shows again. Not values, which may be secrets: the browser keeps them when one goes back."""


async def show_variables(request: web.Request) -> web.Response:
    return await _variables_page(request)


async def change_variables(request: web.Request) -> web.Response:
    """A plain form, which works without scripts: one variable, the text of a .env file, or another project's slug."""
    services, actor = request.app[SERVICES], request[ACTOR]
    slug, typed = read_slug(request.match_info["slug"]), await read_form(request)
    try:
        if source := typed.get("copyFrom", "").strip():
            changed = await services.variables.copy(actor, slug, read_slug(source))
        else:
            changed = read_variables(load_variables(_asked(typed)))
            await services.variables.put(actor, slug, changed)
    except Invalid as error:
        sentences = list(error.fields.values()) or [error.sentence]
        return await _variables_page(request, errors=sentences, typed=typed, status=400)
    except NotFound as error:
        return await _variables_page(request, errors=[error.sentence], typed=typed, status=404)
    if warnings := warn_about(changed):
        return await _variables_page(request, warnings=warnings)
    raise web.HTTPSeeOther(f"/p/{slug}/variables")


async def delete_variable(request: web.Request) -> web.Response:
    slug, typed = read_slug(request.match_info["slug"]), await read_form(request)
    context = read_context(typed.get("context") or None)
    await request.app[SERVICES].variables.delete(request[ACTOR], slug, typed.get("name", ""), context)
    raise web.HTTPSeeOther(f"/p/{slug}/variables")


def _asked(typed: Mapping[str, str]) -> dict[str, object]:
    """The body of PUT /project/{slug}/variables that this form stands for. Browsers end lines with \\r\\n."""
    asked: dict[str, object] = {"context": typed.get("context", "").strip() or None}
    asked |= {name: True for name in ("secret", "public") if name in typed}
    if "dotenv" in typed:
        return asked | {"dotenv": typed["dotenv"]}
    value = typed.get("value", "").replace("\r\n", "\n")
    return asked | {"name": typed.get("name", "").strip(), "value": value}


async def _variables_page(
    request: web.Request,
    *,
    errors: Sequence[str] = (),
    warnings: Sequence[str] = (),
    typed: Mapping[str, str] | None = None,
    status: int = 200,
) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], moment()
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    newest = (await services.deployments.newest(actor, [project.id])).get(project.id)
    page = views.VariablesPage(
        frame=await make_frame(request, is_busy=False, current=project.slug),
        project=views.view_project(project, newest, services.addresses, now),
        variables=tuple(views.view_variable(each, now) for each in await services.variables.show(actor, project.slug)),
        errors=tuple(errors),
        warnings=tuple(warnings),
        typed=_kept(typed or {}),
    )
    return render(request, "variables.html", page, status)


def _kept(typed: Mapping[str, str]) -> dict[str, str]:
    """What its form shows again; values only if they are not secret. `form`: which of the forms was sent."""
    names = KEPT if "secret" in typed else (*KEPT, *VALUES)
    kept = {name: typed.get(name, "") if name in names else "" for name in (*KEPT, *VALUES)}
    return kept | {"form": "dotenv" if "dotenv" in typed else "one"}
