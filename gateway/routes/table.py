"""What a line of the route table says, and how the router, the guard and the description read it."""

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
    """What a call must bring along to reach a route."""

    OPEN = enum.auto()
    ACTOR = enum.auto()
    BUILD_TOKEN = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """`place`: path, query or header. `schema`: as OpenAPI writes it."""

    place: str
    name: str
    schema: Mapping[str, Any]
    description: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Description:
    """What OpenAPI adds to a route. `media`: its content types, where it is not JSON alone. `errors`: besides the usual
    ones.
    """

    summary: str
    success: str = "It is here."
    parameters: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ("application/json",)
    errors: tuple[int, ...] = ()
    needs_body: bool = False
    trouble: str = ""
    """What a 503 says that has the shape of the answer; empty: a 503 is an error."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One endpoint. `body` and `answer` check what enters and dump what leaves; without `about` it is not part of the
    described API.
    """

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
    """Make these lines the routes of the app. GET answers HEAD too."""
    known = app[ROUTES] = {}
    for route in routes:
        resource = app.router.add_resource(route.path)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            known[resource.add_route(method, route.handler)] = route


def route_of(request: web.Request) -> Route:
    """The line of the table that this call has reached. Raises KeyError for what is no route."""
    return request.app[ROUTES][request.match_info.route]


async def asked_scope(request: web.Request) -> Scope | None:
    """The scope that the called route asks of its actor; None for an open one.

    What is no route asks for an actor too, so that a 404 tells a stranger nothing. A 405 asks for no more than the path
    does under a method that it knows.
    """
    match = request.match_info
    if isinstance(match.http_exception, web.HTTPMethodNotAllowed):
        known = request.clone(method=min(match.http_exception.allowed_methods))
        match = await request.app.router.resolve(known)
    route = request.app[ROUTES].get(match.route)
    return route.scope if route is not None else Scope.READ
