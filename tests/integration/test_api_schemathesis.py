"""schemathesis over the whole API: what /openapi.json says holds for made-up calls, right ones and wrong ones."""

import asyncio
import contextlib
import threading

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies
from schemathesis.config import SchemathesisConfig

from gateway.routes.openapi import describe_api
from tests.engines.api_server import api_over_database
from tests.engines.postgres import running_postgres

NAMES = strategies.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
PATHS = strategies.lists(NAMES, min_size=1, max_size=3).map("/".join)
schemathesis.openapi.format("git-url", PATHS.map(lambda path: f"https://git.example.com/{path}.git"))
schemathesis.openapi.format("git-ref", PATHS)
schemathesis.openapi.format("relative-path", PATHS)
schemathesis.openapi.format("cursor", strategies.just(""))


@pytest.fixture(scope="module")
def api_url(tmp_path_factory):
    """A gateway on a loop of its own, in a thread."""
    folder = tmp_path_factory.mktemp("schemathesis")
    with running_postgres(folder) as server, in_thread(serve(server, folder)) as url:
        yield url


@contextlib.asynccontextmanager
async def serve(server, folder):
    async with api_over_database(await server.create_database(), folder) as api:
        yield api.url


@contextlib.contextmanager
def in_thread(context):
    started, stop, loop, found = threading.Event(), asyncio.Event(), asyncio.new_event_loop(), []

    async def run():
        async with context as value:
            found.append(value)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(30)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


schema = schemathesis.openapi.from_dict(describe_api("1"), config=SchemathesisConfig())


@schema.parametrize()
@hypothesis.settings(max_examples=25, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_every_call_is_answered_as_the_description_says(case, api_url):
    case.call_and_validate(base_url=api_url, timeout=10)
