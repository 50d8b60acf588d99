"""Each engine taken away, at the start and during a build: the others go on, nothing is lost, it recovers by itself."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway, eventually, running_gateway
from tests.engines.production import Production

LINES = 200
TALKATIVE = {
    "package.json": '{"scripts": {"build": "node build.js"}}',
    "build.js": f"""
const fs = require('fs');
let number = 0;
const timer = setInterval(() => {{
  console.log(`line ${{++number}} of the build`);
  if (number < {LINES}) return;
  clearInterval(timer);
  fs.mkdirSync('dist', {{recursive: true}});
  fs.writeFileSync('dist/index.html', '<h1>built</h1>');
}}, 40);
""",
}
TROUBLE = {
    "postgres": "database",
    "kafka": "log consumer",
    "clickhouse": "log store",
    "s3": "object store",
    "ecs": "launcher",
}


@pytest.mark.parametrize("engine", TROUBLE)
async def test_an_engine_that_goes_during_a_build_costs_nothing(
    engine: str, production: Production, repositories: Repositories, tmp_path: Path
) -> None:
    async with running_gateway(tmp_path, **production.settings) as gateway:
        older = await deployed(gateway, repositories.from_files("older", {"index.html": "<h1>older</h1>"}))
        answer = await gateway.deploy(repositories.from_files("talkative", TALKATIVE))
        await gateway.in_step(answer["deploymentId"], "build")
        await production.stop(engine)
        try:
            await eventually(lambda: names_trouble(gateway, TROUBLE[engine]), f"/ready names the trouble of {engine}")
            assert await gateway.fetch(older) == (200, b"<h1>older</h1>")
        finally:
            await production.start(engine)
        await eventually(lambda: is_ready(gateway), f"the gateway uses {engine} again")
        await assert_whole(gateway, answer)


@pytest.mark.parametrize("engine", TROUBLE)
async def test_an_engine_that_is_away_at_the_start_is_used_once_it_is_there(
    engine: str, production: Production, repositories: Repositories, tmp_path: Path
) -> None:
    async with running_gateway(tmp_path, start=False, **production.settings) as gateway:
        await production.stop(engine)
        try:
            await gateway.start(until_ready=False)
            await eventually(lambda: names_trouble(gateway, TROUBLE[engine]), f"/ready names the trouble of {engine}")
            assert (await gateway.call("GET", "/health"))[0] == 200
        finally:
            await production.start(engine)
        await eventually(lambda: is_ready(gateway), f"the gateway uses {engine}")
        await assert_whole(gateway, await gateway.deploy(repositories.from_files("talkative", TALKATIVE)))


async def deployed(gateway: Gateway, git_url: str) -> str:
    """The address of a site that is live and was fetched once."""
    answer = await gateway.deploy(git_url)
    assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
    assert (await gateway.fetch(answer["url"]))[0] == 200
    return str(answer["url"])


async def names_trouble(gateway: Gateway, name: str) -> bool:
    try:
        status, answer = await gateway.call("GET", "/ready")
    except aiohttp.ClientError:  # it does not listen yet
        return False
    return status == 503 and name in answer["troubles"]


async def is_ready(gateway: Gateway) -> bool:
    return (await gateway.call("GET", "/ready"))[0] == 200


async def assert_whole(gateway: Gateway, answer: dict[str, Any]) -> None:
    """READY, served, and every line of the build once, in order."""
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["reason"], deployment["attempt"]) == ("READY", None, 1)
    assert await gateway.fetch(answer["url"]) == (200, b"<h1>built</h1>")
    log = await gateway.log(answer["deploymentId"])
    assert (log["complete"], log["missing"]) == (True, [])
    said = [line["log"] for line in log["rawLogs"] if line["log"].startswith("line ")]
    assert said == [f"line {number} of the build" for number in range(1, LINES + 1)]


async def test_all_engines_away_at_once_are_all_named_and_all_used_again(
    production: Production, repositories: Repositories, tmp_path: Path
) -> None:
    async with running_gateway(tmp_path, start=False, **production.settings) as gateway:
        for engine in TROUBLE:
            await production.stop(engine)
        try:
            await gateway.start(until_ready=False)
            for name in TROUBLE.values():
                await eventually(functools.partial(names_trouble, gateway, name), f"/ready names the {name}")
        finally:
            for engine in TROUBLE:
                await production.start(engine)
        await eventually(lambda: is_ready(gateway), "the gateway uses all of them")
        await assert_whole(gateway, await gateway.deploy(repositories.from_files("talkative", TALKATIVE)))
