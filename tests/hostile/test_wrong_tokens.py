"""One client tries many tokens on each door: its refusals wait and then become 429, and the right token still opens."""

import asyncio
import uuid

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from builder.protocol.tokens import make_token
from gateway.access import wrong_tokens
from gateway.access.wrong_tokens import MOST_WAITING_OF_A_CLIENT, PROMPT
from gateway.config import Builder
from gateway.models.addresses import Addresses
from gateway.routes import create_builders_app
from gateway.wire.clients import NO_PROXIES
from tests.browser.fakes import TOKEN
from tests.engines.api_server import api_over_memory
from tests.unit.control.fakes import no_login, no_variables

ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}
KEY = b"k" * 32
MANY = 20


@pytest.fixture(autouse=True)
def _slow_refusals(monkeypatch):
    """A refusal that is delayed outlasts the test."""
    monkeypatch.setattr(wrong_tokens, "FIRST_SECONDS", 600.0)
    monkeypatch.setattr(wrong_tokens, "LONGEST_SECONDS", 600.0)


async def tried(ask):
    """The answers to MANY wrong tokens at once, after the first that are refused at once; the delayed are given up."""
    prompt = [await ask() for _ in range(PROMPT)]
    tasks = [asyncio.ensure_future(ask()) for _ in range(MANY)]
    answers = asyncio.as_completed(tasks)
    at_once = [await next(answers) for _ in range(MANY - MOST_WAITING_OF_A_CLIENT)]
    return prompt, at_once, [task for task in tasks if not task.done()]


async def give_up(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def api():
    async with api_over_memory() as api:
        yield api


async def test_the_api_answers_a_right_token_at_once_while_wrong_ones_wait(api):
    async def ask(token="wrong"):
        headers = {"Authorization": f"Bearer {token}", **ELSEWHERE}
        async with api.session.get(f"{api.url}/project", headers=headers) as response:
            return response.status, response.headers.get("Retry-After"), (await response.json()).get("details")

    prompt, at_once, waiting = await tried(ask)
    assert {status for status, _, _ in prompt} == {401}
    assert set(at_once) == {(429, "600", "Too many wrong tokens were sent. Check the token before the next try.")}
    assert len(waiting) == MOST_WAITING_OF_A_CLIENT
    assert (await ask(TOKEN))[0] == 200
    await give_up(waiting)


async def test_the_login_page_lets_a_right_token_in_while_wrong_ones_wait(api):
    async def ask(token="wrong"):
        headers = {"Origin": api.url, "Accept": "text/html", **ELSEWHERE}
        async with api.session.post(
            f"{api.url}/login", data={"token": token}, headers=headers, allow_redirects=False
        ) as response:
            return response.status, response.headers.get("Retry-After")

    prompt, at_once, waiting = await tried(ask)
    assert set(prompt) == {(401, None)}
    assert set(at_once) == {(429, "600")}
    assert await ask(TOKEN) == (303, None)
    await give_up(waiting)


async def test_a_call_without_a_token_is_refused_at_once_as_ever(api):
    answers = [await api.get("/project", **ELSEWHERE) for _ in range(MANY)]
    assert {status for status, _ in answers} == {401}


@pytest.fixture
async def builders():
    async def install_key():
        return KEY

    app = create_builders_app(
        Ended(),
        Ended(),
        None,
        Log(),
        Builder(),
        install_key,
        Addresses("http://{slug}.localhost"),
        NO_PROXIES,
        no_variables,
        no_login,
        None,
    )
    async with TestClient(TestServer(app)) as client:
        yield client


class Ended:
    """Knows no deployment that runs."""

    async def heartbeat(self, deployment_id, attempt, lease_seconds):
        raise web.HTTPConflict


class Log:
    for_builders = None


async def test_the_builders_api_hears_a_right_token_at_once_while_wrong_ones_wait(builders):
    deployment_id = uuid.uuid4()

    async def ask(token="0" * 64):
        headers = {"Authorization": f"Bearer {token}"}
        async with builders.post(f"/builds/{deployment_id}/1/heartbeat", headers=headers) as response:
            return response.status, response.headers.get("Retry-After")

    prompt, at_once, waiting = await tried(ask)
    assert set(prompt) == {(401, None)}
    assert set(at_once) == {(429, "600")}
    assert (await ask(make_token(KEY, deployment_id, 1)))[0] == 409
    await give_up(waiting)
