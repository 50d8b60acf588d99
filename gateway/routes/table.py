"""A route of the table, and how the router, the guard and the API's description use it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any

import marshmallow
from aiohttp import web

from gateway.access.middlewares import Handler
from gateway.models.actor import Scope


class Access(enum.Enum):
    """What a call needs to reach a route."""

    OPEN = enum.auto()
    ACTOR = enum.auto()
    BUILD_TOKEN = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """`place`: path, query or header. `schema`: in OpenAPI's format."""

    place: str
    name: str
    schema: Mapping[str, Any]
    description: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Description:
    """What the API's description adds to a route. `media`: its content types, if not JSON alone."""

    summary: str
    success: str = "Success."
    parameters: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ("application/json",)
    errors: tuple[int, ...] = ()
    needs_body: bool = False
    trouble: str = ""
    """The description of a 503 whose body has the shape of the answer. Empty: a 503 is an error."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One endpoint. `body` checks what enters, `answer` dumps what leaves. Without `about` it is not described."""

    method: str
    path: str
    handler: Handler
    _: dataclasses.KW_ONLY
    access: Access
    scope: Scope | None = None
    body: type[marshmallow.Schema] | None = None
    answer: type[marshmallow.Schema] | None = None
    status: int = 200
    about: Description | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access) or (self.scope is None) is (self.access is Access.ACTOR):
            raise ValueError(f"{self.method} {self.path} must state its access, and a scope if that is ACTOR alone.")


ROUTES: web.AppKey[dict[web.AbstractRoute, Route]] = web.AppKey("routes", dict)


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Add these routes to the app. GET routes also answer HEAD."""
    known = app[ROUTES] = {}
    for route in routes:
        resource = app.router.add_resource(route.path)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            known[resource.add_route(method, route.handler)] = route


def route_of(request: web.Request) -> Route:
    """The route that this call reached. Raises KeyError if there is none."""
    return request.app[ROUTES][request.match_info.route]


async def asked_scope(request: web.Request) -> Scope | None:
    """The scope that the called route requires of its actor. None for an open route.

    A call without a route needs an actor too, so that a 404 reveals nothing to others. A 405 requires what the path
    requires under a method that it has.
    """
    match = request.match_info
    if isinstance(match.http_exception, web.HTTPMethodNotAllowed):
        known = request.clone(method=min(match.http_exception.allowed_methods))
        match = await request.app.router.resolve(known)
    route = request.app[ROUTES].get(match.route)
    return route.scope if route is not None else Scope.READ
