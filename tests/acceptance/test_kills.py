"""kill -9 and SIGTERM at every moment: a deployment ends right, a site is the old one or the new one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from builder.protocol.steps import Step
from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway

MANY_FILES = 400
SLOW_BUILD = {
    "package.json": '{"scripts": {"build": "node build.js"}, "dependencies": {}}',
    "build.js": f"""
const fs = require('fs');
console.log('building');
fs.mkdirSync('dist', {{recursive: true}});
fs.writeFileSync('dist/index.html', '<h1>survived</h1>');
for (let i = 0; i < {MANY_FILES}; i++) fs.writeFileSync(`dist/${{i}}.txt`, `file ${{i}}`);
setTimeout(() => console.log('built'), 1500);
""",
}
SETTINGS = {"installCommand": "echo installing && sleep 1.5 && echo installed"}


@pytest.mark.parametrize("step", list(Step))
async def test_a_deployment_survives_kill_9_of_the_gateway(
    step: Step, start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    async with start_gateway() as gateway:
        answer = await gateway.deploy(repositories.from_files("kill", SLOW_BUILD), **SETTINGS)
        await gateway.reached(answer["deploymentId"], step)
        await gateway.kill()
        await gateway.start()
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["reason"]) == ("READY", None)
        log = await gateway.log(answer["deploymentId"])
        assert (log["complete"], log["missing"]) == (True, [])
        last_attempt = [line["seq"] for line in log["rawLogs"] if line["attempt"] == deployment["attempt"]]
        assert last_attempt == list(range(1, len(last_attempt) + 1))
        assert await gateway.fetch(answer["url"]) == (200, b"<h1>survived</h1>")
        assert await gateway.fetch(answer["url"], "/399.txt") == (200, b"file 399")


async def test_a_stop_in_the_middle_of_a_build_ends_by_itself_and_the_build_goes_on_after_the_start(
    start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    async with start_gateway() as gateway:
        answer = await gateway.deploy(repositories.from_files("stop", SLOW_BUILD), **SETTINGS)
        await gateway.in_step(answer["deploymentId"], "install")
        assert await gateway.terminate() == 0
        await gateway.start()
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["reason"]) == ("READY", None)
        assert await gateway.fetch(answer["url"]) == (200, b"<h1>survived</h1>")


async def test_a_stop_in_the_middle_of_a_download_never_shows_a_cut_file_as_whole(
    start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    build = "mkdir dist && touch dist/index.html && head -c 300000000 /dev/zero > dist/big.bin"
    big = {"package.json": json.dumps({"scripts": {"build": build}})}
    async with start_gateway() as gateway:
        answer = await gateway.deploy(repositories.from_files("download", big))
        assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
        host = {"Host": answer["url"].removeprefix("http://")}
        async with gateway.session.get(f"http://127.0.0.1:{gateway.sites_port}/big.bin", headers=host) as response:
            first = await response.content.readany()
            stopped = asyncio.create_task(gateway.terminate())
            with pytest.raises(aiohttp.ClientPayloadError):
                await read_slowly(response, len(first))
            assert await stopped == 0


async def read_slowly(response: aiohttp.ClientResponse, received: int) -> None:
    """Read the rest a little at a time, so that the stop comes first. A whole body is the other right answer."""
    while chunk := await response.content.read(1 << 20):
        received += len(chunk)
        await asyncio.sleep(0.05)
    assert received == 300_000_000
    raise aiohttp.ClientPayloadError("It came whole.")


async def test_a_stop_while_a_log_is_read_ends_it_and_the_gateway(
    start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    loud = {"package.json": '{"scripts": {"build": "seq 1 60000; sleep 30"}}'}
    async with start_gateway() as gateway:
        answer = await gateway.deploy(repositories.from_files("loud", loud))
        await gateway.in_step(answer["deploymentId"], "build")
        async with gateway.session.get(f"{gateway.api}/logs/{answer['deploymentId']}") as response:
            await response.content.readany()
            assert await gateway.terminate() == 0


async def test_kill_9_at_any_moment_of_publishing_leaves_the_old_site_or_the_new_one(
    start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    async with start_gateway() as gateway:
        slug = await first_version(gateway, repositories)
        for version, delay in enumerate((0.0, 0.1, 0.2, 0.4), start=2):
            repositories.from_files("mix", {"a.txt": f"{version}", "b.txt": f"{version}"})
            _, answer = await gateway.call("POST", f"/project/{slug}/deployments", {})
            await gateway.in_step(answer["deploymentId"], "upload")
            await asyncio.sleep(delay)
            await gateway.kill()
            await gateway.start()
            seen = [(await gateway.fetch(slug, path))[1] for path in ("/a.txt", "/b.txt")]
            assert seen in ([b"%d" % version] * 2, [b"%d" % (version - 1)] * 2)
            assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
            assert await gateway.fetch(slug, "/b.txt") == (200, b"%d" % version)


async def first_version(gateway: Gateway, repositories: Repositories) -> str:
    files = {f"{number}.txt": f"file {number}" for number in range(MANY_FILES)}
    url = repositories.from_files("mix", {**files, "index.html": "mix", "a.txt": "1", "b.txt": "1"})
    answer = await gateway.deploy(url)
    assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
    return str(answer["projectSlug"])
