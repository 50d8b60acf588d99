"""schemathesis over the whole API: what /openapi.json says holds for made-up calls, right ones and wrong ones."""

import asyncio
import contextlib
import re
import threading
import uuid

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from builder.protocol.lines import Line, LineBatch
from gateway.routes import API
from gateway.routes.openapi import describe_api
from tests.engines.api_server import api_over_database
from tests.engines.postgres import running_postgres

pytest_plugins = ["schemathesis.pytest.plugin"]
KNOWN = {}
RULES_BETWEEN_FIELDS = ("PUT /project/{slug}/variables", "DELETE /project/{slug}/variables")
"""The description cannot say that a short value is no secret, or that a name must be there."""
WELL_FORMED = {"id": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"), "slug": re.compile(r"[a-z0-9-]+\Z")}
PATHS = strategies.sampled_from(["main", "a/b", "packages/site-1", "v1.2.3", ""])
schemathesis.openapi.format(
    "git-url", strategies.sampled_from(["https://git.example.com/a/b.git", "https://g.example/a"])
)
schemathesis.openapi.format("git-ref", PATHS)
schemathesis.openapi.format("git-token", strategies.from_regex(r"[A-Za-z0-9_]{8,40}", fullmatch=True))
schemathesis.openapi.format("git-user", strategies.sampled_from(["git", "x-access-token"]))
schemathesis.openapi.format("ssh-url", strategies.sampled_from(["git@github.com:a/b", "ssh://git@gitlab.com/a/b"]))
schemathesis.openapi.format("host-key", strategies.just(f"ssh-ed25519 {'A' * 68}"))
schemathesis.openapi.format("relative-path", PATHS)
schemathesis.openapi.format("variable-name", strategies.from_regex(r"[A-Z]{1,9}_[A-Z]{1,9}", fullmatch=True))
schemathesis.openapi.format("context", strategies.sampled_from(["all", "production", "preview", "branch:main"]))
schemathesis.openapi.format("dotenv", strategies.sampled_from(["A=1", "# none\nexport B='2'\n", 'C="\n"']))
schemathesis.openapi.format("slug", strategies.just("no-such-project"))
schemathesis.openapi.format("cursor", strategies.just(""))


@pytest.fixture(scope="module")
def api_url(tmp_path_factory):
    """A gateway on a loop of its own, in a thread."""
    folder = tmp_path_factory.mktemp("schemathesis")
    with running_postgres(folder) as server, in_thread(serve(server, folder)) as url:
        yield url


@contextlib.asynccontextmanager
async def serve(server, folder):
    """With a project, a deployment and a log, so that not all answers are 404."""
    async with api_over_database(await server.create_database(), folder) as api:
        deployed = await api.deploy()
        KNOWN.update(id=deployed["deploymentId"], slug=deployed["projectSlug"])
        line = Line(1_764_000_000_000, "stdout", "build", "a line")
        await api.services.logs.append([LineBatch("site", uuid.UUID(deployed["deploymentId"]), 1, 1, (line, line))])
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


schema = schemathesis.openapi.from_dict(describe_api("1", API), config=SchemathesisConfig())


@schema.hook
def map_path_parameters(context, path_parameters):
    """What is well-formed becomes what exists; what is not stays as it is."""
    well_formed = {
        name: value for name, value in (path_parameters or {}).items() if WELL_FORMED[name].match(str(value))
    }
    return {**(path_parameters or {}), **{name: KNOWN.get(name, well_formed[name]) for name in well_formed}}


# A stream ends with its log, which no deployment here does: tests/unit/api/test_log_streams.py.
@schema.exclude(path="/logs/{id}/stream").parametrize()
@hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))
def test_every_call_is_answered_as_the_description_says(case, api_url):
    has_variables = isinstance(case.body, dict) and bool(case.body.get("variables"))
    excluded = [positive_data_acceptance] if has_variables or case.operation.label in RULES_BETWEEN_FIELDS else []
    case.call_and_validate(base_url=api_url, timeout=10, excluded_checks=excluded)
