"""Describes the API as OpenAPI, from the route table and its schemas: every address, every answer."""

from __future__ import annotations

import functools
import re
from typing import Any

import marshmallow
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from builder.protocol.names import camel_case
from gateway.routes import answers, requests
from gateway.routes.table import Access, Description, Parameter, Route

REASONS = {
    "400": "The request is invalid; `fields` names what is wrong.",
    "401": "The access token is missing or wrong.",
    "403": "The Host is not one of the API's names, or the call comes from a page of another site.",
    "404": "The requested thing does not exist.",
    "405": "This path does not support the method.",
    "408": "The body did not arrive in time.",
    "409": "The current state does not allow this.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
    "429": "Too many wrong tokens or log streams, or the queue is full: try again after `Retry-After` seconds.",
    "500": "An unexpected error.",
    "503": "An engine is away: the same call may succeed later.",
}
ALWAYS = (400, 401, 403, 405, 429, 500, 503)
OPEN = (400, 403, 405, 500)
WITH_BODY = (408, 413, 415)

_CURSOR = Parameter("query", "cursor", {"type": "string", "format": "cursor"}, "The `next` of the page before.")
PAGE = (
    Parameter("query", "limit", {"type": "integer", "minimum": 1, "maximum": requests.MAX_PAGE}, "How many, at most."),
    _CURSOR,
)
LOG_PAGE = (
    Parameter("query", "after", {"type": "string", "pattern": "^([1-9][0-9]{0,2}\\.[0-9]{1,15})?$"}, "A `next`."),
    Parameter("query", "limit", {"type": "integer", "minimum": 1, "maximum": requests.MAX_LOG_PAGE}, "Lines, at most."),
    Parameter("query", "format", {"type": "string", "enum": ["json", "text"]}, "text: the lines alone."),
    Parameter("query", "times", {"type": "string", "enum": ["0", "1"]}, "1: in text, the time before each line."),
)
LOG_STREAM = (
    Parameter(
        "query", "after", {"type": "string", "pattern": "^([1-9][0-9]{0,2}\\.[0-9]{1,15})?$"}, "The id of an event."
    ),
    Parameter(
        "header",
        "Last-Event-ID",
        {"type": "string", "pattern": "^[1-9][0-9]{0,2}\\.[0-9]{1,15}$"},
        "The same, as browsers send it when they connect again.",
    ),
)
IDEMPOTENCY_KEY = Parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    "Calls with the same key create one project.",
)
VARIABLE = (
    Parameter("query", "name", {"type": "string", "minLength": 1}, "Its name (required)."),
    Parameter("query", "context", {"type": "string", "format": "context"}, "Its context. Left out: every one."),
)
IN_PATH = {
    "slug": Parameter(
        "path", "slug", {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}, "The project's slug."
    ),
    "id": Parameter("path", "id", {"type": "string", "format": "uuid"}, "The deployment's id."),
}


@functools.cache
def describe_api(version: str, routes: tuple[Route, ...]) -> dict[str, Any]:
    spec = APISpec(
        title="Buildspace",
        version=version,
        openapi_version="3.0.3",
        plugins=[MarshmallowPlugin()],
        info={"description": "A git URL in, a served site out."},
    )
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for route in routes:
        if route.about is not None:
            spec.path(path=route.path, operations={route.method.lower(): _operation(route, route.about)})
    description: dict[str, Any] = spec.to_dict()
    _complete(description["components"]["schemas"])
    return description


def _operation(route: Route, about: Description) -> dict[str, Any]:
    is_open = route.access is Access.OPEN
    in_path = [IN_PATH[name] for name in re.findall(r"{(\w+)}", route.path)]
    codes = {
        *(OPEN if is_open else ALWAYS),
        *about.errors,
        *(WITH_BODY if route.body else ()),
        *([404] if in_path else []),
    }
    operation: dict[str, Any] = {
        "operationId": camel_case(route.handler.__name__),
        "summary": about.summary,
        "security": [{}] if is_open else [{"token": []}, {}],
        "parameters": [_parameter(each) for each in (*in_path, *about.parameters)],
        "responses": {
            str(route.status): _answer(route, about),
            **{str(code): _json(answers.ErrorAnswer, REASONS[str(code)]) for code in sorted(codes)},
        },
    }
    if about.trouble and route.answer is not None:
        operation["responses"]["503"] = _json(route.answer, about.trouble)
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        operation["requestBody"] = {"required": about.needs_body, "content": content}
    return operation


def _answer(route: Route, about: Description) -> dict[str, Any]:
    text = {"type": "string"}
    kinds: dict[str, Any] = {
        "application/json": route.answer or {"type": "object"},
        "text/plain": text,
        "text/event-stream": text,
    }
    return {
        "description": "Done." if route.body else about.success,
        "content": {media: {"schema": kinds[media]} for media in about.media},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "in": parameter.place,
        "name": parameter.name,
        "required": parameter.place == "path",
        "schema": dict(parameter.schema),
        "description": parameter.description,
    }


def _json(schema: type[marshmallow.Schema], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _complete(described: dict[str, Any]) -> None:
    """Forbids unknown fields: answers promise to have none, and requests with one are refused."""
    for schema in described.values():
        schema["additionalProperties"] = False
        for field in schema.get("properties", {}).values():
            if "pattern" in field:  # in JavaScript's syntax, where $ has no second meaning
                field["pattern"] = field["pattern"].replace("\\Z", "$")
