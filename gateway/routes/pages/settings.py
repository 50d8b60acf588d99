"""A project's settings: a form to change them, what the newest build used, and the project's deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from builder.protocol.settings import SETTINGS
from gateway.access.guard import ACTOR
from gateway.errors import Conflict, Invalid
from gateway.routes.pages import views
from gateway.routes.pages.forms import read_form
from gateway.routes.pages.frame import make_frame, moment, render
from gateway.routes.projects import forget_installations, forget_project
from gateway.routes.requests import read_project_change, read_slug
from gateway.services import SERVICES

FLAGS = {setting.json_name for setting in SETTINGS if setting.is_flag}


async def show_settings(request: web.Request) -> web.Response:
    return await _settings_page(request)


async def change(request: web.Request) -> web.Response:
    """A plain form, which works without scripts. An error appears next to its field, and the input is kept."""
    services, actor = request.app[SERVICES], request[ACTOR]
    typed = await read_form(request)
    try:
        edit, redirects = read_project_change(_asked(typed), services.config.builder.allow_private_hosts)
        project = await services.projects.change(
            actor, read_slug(request.match_info["slug"]), edit, redirects=redirects
        )
    except Invalid as error:
        return await _settings_page(request, typed=typed, errors=error.fields, error=error.sentence, status=400)
    except Conflict as error:
        return await _settings_page(request, typed=typed, errors={"slug": error.sentence}, status=409)
    raise web.HTTPSeeOther(f"/p/{project.slug}/settings")


async def clear_cache(request: web.Request) -> web.Response:
    slug = read_slug(request.match_info["slug"])
    await read_form(request)
    await forget_installations(request, slug)
    raise web.HTTPSeeOther(f"/p/{slug}/settings")


async def delete(request: web.Request) -> web.Response:
    slug = read_slug(request.match_info["slug"])
    typed = await read_form(request)
    if typed.get("confirm", "").strip() != slug:
        sentence = f"Nothing was deleted. To delete the project, type its slug, {slug}, into the field."
        return await _settings_page(request, delete_error=sentence, status=400)
    await forget_project(request, slug)
    raise web.HTTPSeeOther("/")


def _asked(typed: Mapping[str, str]) -> dict[str, Any]:
    """The body of PATCH /project/{slug} that this form stands for."""
    words = {"": None, "true": True, "false": False}
    texts = {name: value.strip() for name, value in typed.items()}
    return {name: words.get(value, value) if name in FLAGS else value for name, value in texts.items()}


async def _settings_page(
    request: web.Request,
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    error: str = "",
    delete_error: str = "",
    status: int = 200,
) -> web.Response:
    services, actor, now = request.app[SERVICES], request[ACTOR], moment()
    project = await services.projects.get(actor, read_slug(request.match_info["slug"]))
    newest = (await services.deployments.newest(actor, [project.id])).get(project.id)
    fields = views.view_settings(typed or views.typed_settings(project), errors or {})
    page = views.SettingsPage(
        frame=await make_frame(request, is_busy=False, current=project.slug),
        project=views.view_project(project, newest, services.addresses, now),
        fields=fields,
        used=views.view_used(newest),
        error="" if any(field.error for field in fields) else error,
        delete_error=delete_error,
    )
    return render(request, "settings.html", page, status)
