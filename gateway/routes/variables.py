"""The variables of a project: show them without secrets, set them, delete them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from aiohttp import web
from marshmallow import fields

from gateway.access.guard import ACTOR
from gateway.errors import Invalid
from gateway.models.variable import StoredVariable, warn_about
from gateway.routes.answers import Answer, Moment, answer
from gateway.routes.bodies import read_json
from gateway.routes.requests import read_slug
from gateway.routes.variable_bodies import load_variables, read_context, read_variables
from gateway.services import SERVICES


@dataclasses.dataclass(frozen=True, slots=True)
class VariablesNow:
    variables: Sequence[StoredVariable]
    warnings: Sequence[str] = ()


class VariableAnswer(Answer):
    name = fields.String(required=True)
    context = fields.String(required=True)
    value = fields.String(required=True, allow_none=True, metadata={"description": "null for a secret."})
    secret = fields.Boolean(required=True, attribute="is_secret")
    public = fields.Boolean(required=True, attribute="is_public")
    updated_at = Moment(required=True)
    updated_by = fields.String(required=True)


class VariableList(Answer):
    """All variables of the project."""

    variables = fields.List(fields.Nested(VariableAnswer), required=True)
    warnings = fields.List(fields.String(), required=True, metadata={"description": "About what was just set."})


async def list_variables(request: web.Request) -> web.Response:
    return await _now(request, read_slug(request.match_info["slug"]))


async def set_variables(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    slug = read_slug(request.match_info["slug"])
    values = load_variables(await read_json(request, services.config.api.body_bytes))
    if values["copyFrom"] is not None and all(values[name] is None for name in ("name", "variables", "dotenv")):
        changed = await services.variables.copy(actor, slug, read_slug(values["copyFrom"]))
    else:
        changed = read_variables(values)
        await services.variables.put(actor, slug, changed)
    return await _now(request, slug, warn_about(changed))


async def delete_variable(request: web.Request) -> web.Response:
    name = request.query.get("name", "")
    if not name:
        raise Invalid("name is required: ?name=API_URL", {"name": "name is required"})
    slug = read_slug(request.match_info["slug"])
    context = read_context(request.query.get("context") or None)
    await request.app[SERVICES].variables.delete(request[ACTOR], slug, name, context)
    return await _now(request, slug)


async def _now(request: web.Request, slug: str, warnings: Sequence[str] = ()) -> web.Response:
    variables = await request.app[SERVICES].variables.show(request[ACTOR], slug)
    response = answer(request, VariablesNow(variables, warnings))
    response.headers["Cache-Control"] = "no-store"
    return response
