"""Describes the API as OpenAPI, from the schemas of gateway.routes: every address, every answer."""

from __future__ import annotations

import functools
from typing import Any

import marshmallow
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from gateway.routes import schemas, shapes

SLUG = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
KEY = "^[!-~]([ -~]{0,253}[!-~])?$"
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
    "429": "Too many wrong tokens, or the queue is full: try again after `Retry-After` seconds.",
    "500": "An unexpected error.",
    "503": "An engine is away: the same call may succeed later.",
}
ALWAYS = ("400", "401", "403", "405", "429", "500", "503")
WITH_BODY = ("408", "413", "415")


@functools.cache
def describe_api(version: str) -> dict[str, Any]:
    spec = APISpec(
        title="Buildspace",
        version=version,
        openapi_version="3.0.3",
        plugins=[MarshmallowPlugin()],
        info={"description": "A git URL in, a served site out."},
    )
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for path, operations in _paths().items():
        spec.path(path=path, operations=operations)
    description: dict[str, Any] = spec.to_dict()
    _complete(description["components"]["schemas"])
    return description


def _paths() -> dict[str, dict[str, Any]]:
    slug = _in_path("slug", {"type": "string", "pattern": SLUG}, "The project's slug.")
    deployment = _in_path("id", {"type": "string", "format": "uuid"}, "The deployment's id.")
    key = _header("Idempotency-Key", {"type": "string", "pattern": KEY}, "Calls with the same key create one project.")
    page = [
        _in_query("limit", {"type": "integer", "minimum": 1, "maximum": schemas.MAX_PAGE}, "How many, at most."),
        _in_query("cursor", {"type": "string", "format": "cursor"}, "The `next` of the page before."),
    ]
    return {
        "/project": {
            "get": _operation("listProjects", "Projects, newest first", shapes.ProjectList, parameters=page),
            "post": _operation(
                "createProject",
                "Create a project and deploy it",
                shapes.DeployedAnswer,
                status="201",
                parameters=[key],
                body=schemas.ProjectRequest,
                also=("409",),
            ),
        },
        "/project/{slug}": {
            "get": _operation("showProject", "A project", shapes.ProjectAnswer, parameters=[slug], also=("404",))
        },
        "/project/{slug}/deployments": {
            "get": _operation(
                "listDeployments",
                "Its deployments, newest first",
                shapes.DeploymentList,
                parameters=[slug, *page],
                also=("404",),
            ),
            "post": _operation(
                "deployAgain",
                "Deploy it again",
                shapes.DeployedAnswer,
                status="201",
                parameters=[slug],
                body=schemas.EmptyRequest,
                is_body_required=False,
                also=("404",),
            ),
        },
        "/deployment/{id}": {
            "get": _operation(
                "showDeployment", "A deployment", shapes.DeploymentDetails, parameters=[deployment], also=("404",)
            )
        },
        "/deployment/{id}/cancel": {
            "post": _transition("cancelDeployment", "Cancel it; nothing is published", deployment)
        },
        "/deployment/{id}/promote": {"post": _transition("promoteDeployment", "Make it live", deployment)},
        "/logs/{id}": {"get": _log_operation(deployment)},
        "/health": {"get": _public("showHealth", "Whether the process is alive", shapes.HealthAnswer)},
        "/ready": {"get": _ready_operation()},
        "/metrics": {"get": _metrics_operation()},
        "/openapi.json": {"get": _openapi_operation()},
    }


def _operation(
    name: str,
    summary: str,
    answer: type[marshmallow.Schema],
    *,
    status: str = "200",
    parameters: list[dict[str, Any]] | None = None,
    body: type[marshmallow.Schema] | None = None,
    is_body_required: bool = True,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    codes = sorted({*ALWAYS, *also, *(WITH_BODY if body else ())})
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "security": [{"token": []}, {}],
        "parameters": parameters or [],
        "responses": {
            status: _json(answer, "Done." if body else "It is here."),
            **{code: _error(code) for code in codes},
        },
    }
    if body is not None:
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": is_body_required, "content": content}
    return operation


def _transition(name: str, summary: str, deployment: dict[str, Any]) -> dict[str, Any]:
    return _operation(
        name,
        summary,
        shapes.DeploymentAnswer,
        parameters=[deployment],
        body=schemas.EmptyRequest,
        is_body_required=False,
        also=("404", "409"),
    )


def _log_operation(deployment: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        deployment,
        _in_query("after", {"type": "string", "pattern": "^([1-9][0-9]{0,2}\\.[0-9]{1,15})?$"}, "A `next`."),
        _in_query("limit", {"type": "integer", "minimum": 1, "maximum": schemas.MAX_LOG_PAGE}, "Lines, at most."),
        _in_query("format", {"type": "string", "enum": ["json", "text"]}, "text: the lines alone."),
    ]
    operation = _operation(
        "showLog",
        "The log: the whole without `after` and `limit`; else the next lines, up to the first gap",
        shapes.LogAnswer,
        parameters=parameters,
        also=("404",),
    )
    operation["responses"]["200"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return operation


def _public(name: str, summary: str, answer: type[marshmallow.Schema]) -> dict[str, Any]:
    responses = {"200": _json(answer, "Yes."), **{code: _error(code) for code in ("400", "403", "405", "500")}}
    return {"operationId": name, "summary": summary, "security": [{}], "responses": responses}


def _ready_operation() -> dict[str, Any]:
    operation = _public("showReady", "Whether everything works", shapes.ReadyAnswer)
    operation["responses"]["503"] = _json(shapes.ReadyAnswer, "Something does not work; `troubles` says what.")
    return operation


def _metrics_operation() -> dict[str, Any]:
    operation = _operation("showMetrics", "Figures for Prometheus", shapes.HealthAnswer)
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return operation


def _openapi_operation() -> dict[str, Any]:
    operation = _operation("showOpenapi", "This description", shapes.HealthAnswer)
    operation["responses"]["200"]["content"] = {"application/json": {"schema": {"type": "object"}}}
    return operation


def _json(schema: type[marshmallow.Schema], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error(code: str) -> dict[str, Any]:
    return _json(shapes.ErrorAnswer, REASONS[code])


def _in_path(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "path", "name": name, "required": True, "schema": schema, "description": description}


def _in_query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "required": False, "schema": schema, "description": description}


def _header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "required": False, "schema": schema, "description": description}


def _complete(described: dict[str, Any]) -> None:
    """Forbids unknown fields: answers promise to have none, and requests with one are refused."""
    for schema in described.values():
        schema["additionalProperties"] = False
        for field in schema.get("properties", {}).values():
            if "pattern" in field:  # in JavaScript's syntax, where $ has no second meaning
                field["pattern"] = field["pattern"].replace("\\Z", "$")
