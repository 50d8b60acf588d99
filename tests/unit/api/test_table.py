"""The route table: each line states its access, and the guard keeps to it."""

import dataclasses
import uuid

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.models.actor import OWNER, Scope
from gateway.routes import API, PAGES
from gateway.routes.table import ROUTES, Access, Route, add_routes, asked_scope
from tests.engines.api_server import GIT_URL

ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}


async def handle(request):
    return web.Response()


def test_a_route_without_an_access_is_refused():
    with pytest.raises(TypeError, match="access"):
        Route("GET", "/", handle)


@pytest.mark.parametrize("access", [None, "open", True])
def test_a_route_whose_access_is_not_one_of_the_known_is_refused(access):
    with pytest.raises(ValueError, match="GET / must state its access"):
        Route("GET", "/", handle, access=access)


@pytest.mark.parametrize(
    ("access", "scope"), [(Access.ACTOR, None), (Access.OPEN, Scope.READ), (Access.BUILD_TOKEN, Scope.READ)]
)
def test_a_scope_is_stated_exactly_where_an_actor_is_asked_for(access, scope):
    with pytest.raises(ValueError, match="GET / must state its access"):
        Route("GET", "/", handle, access=access, scope=scope)


def test_a_route_answers_head_exactly_if_it_answers_get():
    app = web.Application()
    add_routes(app, [Route("GET", "/a", handle, access=Access.OPEN), Route("POST", "/b", handle, access=Access.OPEN)])
    assert {(route.method, route.resource.canonical) for route in app[ROUTES]} == {
        ("GET", "/a"),
        ("HEAD", "/a"),
        ("POST", "/b"),
    }


def test_what_changes_something_needs_more_than_a_look():
    changes = {route.path for route in (*API, *PAGES) if route.method != "GET" and route.scope is not Scope.DEPLOY}
    assert changes == {"/login", "/logout"}


@pytest.mark.parametrize("path", ["/health", "/ready", "/login", "/favicon.ico"])
async def test_an_open_route_needs_no_token(api, path):
    assert (await api.head("GET", path, headers=ELSEWHERE))[0] in (200, 302)
    assert (await api.head("HEAD", path, headers=ELSEWHERE))[0] in (200, 302)


@pytest.mark.parametrize("path", ["/static/1/app.css", "/static/1/nothing"])
async def test_the_files_of_the_pages_need_no_token(api, path):
    assert (await api.head("GET", path, headers=ELSEWHERE))[0] in (200, 404)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/project", "/project/x", "/project/x/deployments", "/deployment/x", "/logs/x", "/metrics"),
        *("/openapi.json", "/p/x", "/d/x", "/healthy", "/nothing", "/static", "/health/", "//health"),
    ],
)
async def test_everything_else_needs_one_and_so_does_what_is_not_there(api, path):
    assert (await api.head("GET", path, headers=ELSEWHERE))[0] == 401


@pytest.mark.parametrize(
    "path",
    ["/project", "/project/x/deployments", "/deployment/x/cancel", "/deployment/x/promote", "/deploy", "/logout"],
)
async def test_changes_need_one(api, path):
    assert (await api.head("POST", path, json={}, headers=ELSEWHERE))[0] == 401


@pytest.mark.parametrize(("method", "path"), [("PUT", "/project"), ("DELETE", "/deployment/x"), ("GET", "/logout")])
async def test_a_method_that_a_closed_path_does_not_know_needs_one(api, method, path):
    assert (await api.head(method, path, headers=ELSEWHERE))[0] == 401


@pytest.mark.parametrize(("method", "path"), [("PUT", "/health"), ("DELETE", "/login"), ("OPTIONS", "/ready")])
async def test_a_method_that_an_open_path_does_not_know_is_a_405_to_all(api, method, path):
    assert (await api.head(method, path, headers=ELSEWHERE))[0] == 405


async def test_a_route_beside_the_table_asks_for_an_actor():
    @web.middleware
    async def say_scope(request, handler):
        return web.Response(text=str(await asked_scope(request)))

    app = web.Application(middlewares=[say_scope])
    add_routes(app, [])
    app.router.add_get("/beside", handle)
    async with TestClient(TestServer(app)) as client, client.get("/beside") as response:
        assert await response.text() == "read"


@pytest.fixture
def only_reads(api, monkeypatch):
    """Every caller may look, and do no more."""

    async def admit(caller):
        return dataclasses.replace(OWNER, scopes=frozenset({Scope.READ}))

    monkeypatch.setattr(api.services.access, "admit", admit)


@pytest.mark.usefixtures("only_reads")
async def test_an_actor_without_the_scope_of_a_route_is_refused_with_a_sentence(api):
    status, answer = await api.post("/project", {"name": "Blog", "gitUrl": GIT_URL})
    assert (status, answer["error"]) == (403, "Forbidden")
    assert answer["details"] == "This call needs the scope 'deploy', which this token does not have."
    assert api.services.projects.all == []


@pytest.mark.usefixtures("only_reads")
async def test_an_actor_with_the_scope_of_a_route_is_admitted(api):
    assert (await api.get("/project"))[0] == 200


async def test_the_actor_that_the_guard_admits_reaches_the_store(api, monkeypatch):
    actor = dataclasses.replace(OWNER, kind="user", owner_id=uuid.uuid4())
    asked = []

    async def admit(caller):
        return actor

    async def listed(*given):
        asked.append(given[0])
        return [], None

    monkeypatch.setattr(api.services.access, "admit", admit)
    monkeypatch.setattr(api.services.projects, "list", listed)
    await api.get("/project")
    assert asked == [actor]
