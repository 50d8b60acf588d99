"""A gateway whose builders are containers: real builds, and what they can not do there."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.conftest import Repositories
from tests.docker.conftest import NETWORK, StartGateway
from tests.engines.dockerd import DockerEngine
from tests.engines.gateway import Gateway, eventually

SITE = {
    "package.json": '{"scripts": {"build": "mkdir dist && cp page.html dist/index.html"}}',
    "page.html": "<h1>From a container</h1>",
}
SLOW = {**SITE, "package.json": '{"scripts": {"build": "sleep 3 && mkdir dist && cp page.html dist/index.html"}}'}
ENDLESS = {"package.json": '{"scripts": {"build": "sleep 600"}}'}
SPY = """
import json, os, pathlib, socket, sys

def writes(path):
    try:
        pathlib.Path(path).write_text("x")
        return True
    except OSError:
        return False

def reaches(place):
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 3):
            return True
    except OSError:
        return False

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
seen = {
    "written": [path for path in ("/spy", "/usr/spy", "/opt/buildspace/spy", "/etc/spy") if writes(path)],
    "capabilities": [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd")],
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "is_root": 0 in (os.getuid(), os.geteuid(), os.getgid()),
    "token": "BUILDSPACE_TOKEN" in os.environ,
    "reached": [place for place in sys.argv[1:] if reaches(place)],
}
os.mkdir("dist")
pathlib.Path("dist/index.html").write_text(json.dumps(seen))
"""
WATCHES = """
import json, os, pathlib

def tells(path):
    try:
        return b"BUILDSPACE_TOKEN" in open(path, "rb").read(1_000_000)
    except OSError:
        return False

folders = [folder for folder in pathlib.Path("/proc").iterdir() if folder.name.isdigit()]
places = [str(folder / name) for folder in folders for name in ("environ", "cmdline")]
seen = {"processes": len(folders), "telling": [place for place in places if tells(place)]}
os.mkdir("dist")
pathlib.Path("dist/index.html").write_text(json.dumps(seen))
"""
FORKS = """
import os, pathlib, signal
children = []
try:
    while len(children) < 2000:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
os.mkdir("dist")
pathlib.Path("dist/index.html").write_text(str(len(children)))
"""
# Shared memory: it counts for the container, and for no limit of a process.
EATS = """
import mmap
memory = mmap.mmap(-1, 1500 * 2**20)
for place in range(0, len(memory), 4096):
    memory[place] = 1
"""


def python_site(program: str, *arguments: str) -> dict[str, str]:
    command = " ".join(["exec python3 program.py", *arguments])
    return {"package.json": json.dumps({"scripts": {"build": command}}), "program.py": program}


async def built(gateway: Gateway, git_url: str) -> dict[str, Any]:
    answer = await gateway.deploy(git_url)
    return {**await gateway.ended(answer["deploymentId"]), "siteUrl": answer["url"]}


def containers_of(engine: DockerEngine, deployment_id: str) -> list[str]:
    """Also those that have ended."""
    label = f"label=buildspace.deployment={deployment_id}"
    return engine.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()


async def without_containers(engine: DockerEngine, deployment_id: str) -> None:
    async def look() -> bool:
        return not await asyncio.to_thread(containers_of, engine, deployment_id)

    await eventually(look, "the container is removed")


async def test_a_real_npm_site_is_built_in_a_container_and_served(
    gateway: Gateway, engine: DockerEngine, repositories: Repositories
) -> None:
    before = set(engine.docker("volume", "ls", "--quiet").split())
    deployment = await built(gateway, repositories.from_fixture("vite-react"))
    log = await gateway.log(deployment["id"])
    assert (deployment["status"], deployment["reason"]) == ("READY", None), log["rawLogs"][-20:]
    status, page = await gateway.fetch(deployment["siteUrl"])
    assert (status, b"<script" in page) == (200, True)
    assert (log["complete"], log["missing"]) == (True, [])
    assert "isolation: container, with " in log["rawLogs"][0]["log"]
    assert deployment["isolation"] == "container"
    await without_containers(engine, deployment["id"])
    assert set(engine.docker("volume", "ls", "--quiet").split()) <= before


async def test_the_limits_of_the_configuration_are_those_of_the_container(
    gateway: Gateway, engine: DockerEngine, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("endless", ENDLESS))
    await gateway.in_step(answer["deploymentId"], "build")
    (container,) = containers_of(engine, answer["deploymentId"])
    found = json.loads(engine.docker("inspect", container))[0]
    await gateway.call("POST", f"/deployment/{answer['deploymentId']}/cancel", {})
    limits, settings = found["HostConfig"], found["Config"]
    assert (limits["Memory"], limits["MemorySwap"]) == (1024**3, 1024**3)
    assert (limits["PidsLimit"], limits["NanoCpus"]) == (164, 2_000_000_000)
    assert (limits["ReadonlyRootfs"], limits["CapDrop"], limits["Privileged"]) == (True, ["ALL"], False)
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert (limits["NetworkMode"], limits["Init"]) == (NETWORK, False)
    assert limits["LogConfig"]["Config"] == {"max-file": "1", "max-size": "1m"}
    assert int(settings["User"].partition(":")[0]) >= 20_000
    token = next(each for each in settings["Env"] if each.startswith("BUILDSPACE_TOKEN=")).partition("=")[2]
    assert token not in json.dumps([settings["Cmd"], found["Args"], settings["Labels"], found["Name"]])
    await without_containers(engine, answer["deploymentId"])


async def test_a_build_has_no_root_and_writes_to_its_work_alone(gateway: Gateway, repositories: Repositories) -> None:
    deployment = await built(gateway, repositories.from_files("spy", python_site(SPY)))
    assert deployment["reason"] is None
    seen = json.loads((await gateway.fetch(deployment["siteUrl"]))[1])
    assert seen["written"] == []
    assert {int(each, 16) for each in seen["capabilities"]} == {0}
    assert (seen["no_new_privileges"], seen["is_root"], seen["token"]) == ("1", False, False)


async def test_without_landlock_too_no_process_shows_the_token_to_a_build(
    start_on_docker: StartGateway, image_without_landlock: str, repositories: Repositories, tmp_path: Path
) -> None:
    async with start_on_docker(tmp_path, BUILDSPACE_DOCKER_IMAGE=image_without_landlock) as gateway:
        deployment = await built(gateway, repositories.from_files("watches", python_site(WATCHES)))
        assert deployment["reason"] is None
        log = await gateway.log(deployment["id"])
        assert "without Landlock" in log["rawLogs"][0]["log"]
        seen = json.loads((await gateway.fetch(deployment["siteUrl"]))[1])
    assert seen["telling"] == []
    assert seen["processes"] >= 3


async def test_a_build_that_takes_all_memory_is_told_so(gateway: Gateway, repositories: Repositories) -> None:
    deployment = await built(gateway, repositories.from_files("eats", python_site(EATS)))
    assert (deployment["status"], deployment["attempt"]) == ("FAILED", 1)
    assert "memory" in deployment["reason"]


async def test_a_fork_bomb_stays_below_its_limit_and_its_builder_lives(
    gateway: Gateway, repositories: Repositories
) -> None:
    deployment = await built(gateway, repositories.from_files("forks", python_site(FORKS)))
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    assert 10 < int((await gateway.fetch(deployment["siteUrl"]))[1]) <= 100


async def test_a_build_reaches_the_registry_and_neither_the_machine_nor_its_neighbours(
    start_on_docker: StartGateway,
    engine: DockerEngine,
    image: str,
    address: str,
    repositories: Repositories,
    tmp_path: Path,
) -> None:
    """Without isolation inside: what is closed here is closed by the network alone."""
    async with start_on_docker(tmp_path, BUILDSPACE_BUILDER_ISOLATION="none") as gateway:
        assert (await built(gateway, repositories.from_files("first", SITE)))["status"] == "READY"
        serve = ("python", "-m", "http.server", "8000")
        neighbour = engine.docker("run", "--detach", "--network", NETWORK, image, *serve)
        networks = json.loads(engine.docker("inspect", neighbour))[0]["NetworkSettings"]["Networks"]
        with socket.create_server(("0.0.0.0", 0)) as listener:
            port = listener.getsockname()[1]
            closed = [
                f"{address}:{port}",
                f"{networks[NETWORK]['Gateway']}:{port}",
                f"{address}:{gateway.api_port}",
                f"{networks[NETWORK]['IPAddress']}:8000",
                "169.254.169.254:80",
                "10.0.0.1:443",
            ]
            site = python_site(SPY, *closed, "registry.npmjs.org:443")
            deployment = await built(gateway, repositories.from_files("network-spy", site))
        engine.docker("rm", "--force", "--volumes", neighbour)
        assert deployment["reason"] is None
        seen = json.loads((await gateway.fetch(deployment["siteUrl"]))[1])
        assert seen["reached"] == ["registry.npmjs.org:443"]


async def test_a_canceled_build_leaves_no_container(
    gateway: Gateway, engine: DockerEngine, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("endless", ENDLESS))
    await gateway.in_step(answer["deploymentId"], "build")
    status, _ = await gateway.call("POST", f"/deployment/{answer['deploymentId']}/cancel", {})
    assert status == 200
    assert (await gateway.ended(answer["deploymentId"]))["status"] == "CANCELED"
    await without_containers(engine, answer["deploymentId"])


async def test_a_builder_that_is_killed_gets_another_attempt(
    gateway: Gateway, engine: DockerEngine, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("slow", SLOW))
    await gateway.in_step(answer["deploymentId"], "build")
    (container,) = containers_of(engine, answer["deploymentId"])
    engine.docker("kill", container)
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["attempt"]) == ("READY", 2)
    await without_containers(engine, answer["deploymentId"])


async def test_a_gateway_that_is_killed_finds_its_builder_again(
    start_on_docker: StartGateway, engine: DockerEngine, repositories: Repositories, tmp_path: Path
) -> None:
    async with start_on_docker(tmp_path) as gateway:
        answer = await gateway.deploy(repositories.from_files("slow", SLOW))
        await gateway.in_step(answer["deploymentId"], "build")
        await gateway.kill()
        before = containers_of(engine, answer["deploymentId"])
        await gateway.start()
        deployment = await gateway.ended(answer["deploymentId"])
        assert (len(before), deployment["status"], deployment["attempt"]) == (1, "READY", 1)


async def test_a_gateway_that_is_killed_while_it_launches_starts_one_builder(
    start_on_docker: StartGateway, engine: DockerEngine, repositories: Repositories, tmp_path: Path
) -> None:
    """Killed as soon as the container is there: the record of it is not, or hardly."""
    async with start_on_docker(tmp_path) as gateway:
        answer = await gateway.deploy(repositories.from_files("slow", SLOW))

        async def look() -> list[str]:
            return await asyncio.to_thread(containers_of, engine, answer["deploymentId"])

        before = await eventually(look, "the container is made")
        await gateway.kill()
        await gateway.start()
        after = await look()
        deployment = await gateway.ended(answer["deploymentId"])
        assert (before, deployment["status"], deployment["attempt"]) == (after, "READY", 1)


@pytest.fixture
def our_engine(engine: DockerEngine) -> Iterator[DockerEngine]:
    """It may be taken away, and is back for the next test."""
    if not engine.is_ours:
        pytest.skip("The engine of TEST_DOCKER_HOST is not ours to stop.")
    yield engine
    if not engine.is_running:
        engine.start()


async def troubles(gateway: Gateway) -> str:
    """Empty until the gateway listens."""
    try:
        _, answer = await gateway.call("GET", "/ready")
    except aiohttp.ClientError:
        return ""
    return json.dumps(answer["troubles"])


async def is_named(gateway: Gateway) -> None:
    async def look() -> bool:
        return "docker.host" in await troubles(gateway)

    await eventually(look, "the trouble is named")


async def is_well(gateway: Gateway) -> None:
    async def look() -> bool:
        return await troubles(gateway) == "{}"

    await eventually(look, "the engine is found again")


async def test_docker_away_between_two_builds_is_named_and_found_again(
    start_on_docker: StartGateway, our_engine: DockerEngine, repositories: Repositories, tmp_path: Path
) -> None:
    async with start_on_docker(tmp_path) as gateway:
        first = await built(gateway, repositories.from_files("first", SITE))
        await asyncio.to_thread(our_engine.stop)
        await is_named(gateway)
        assert (await gateway.fetch(first["siteUrl"]))[0] == 200
        answer = await gateway.deploy(repositories.from_files("second", SITE))
        await asyncio.to_thread(our_engine.start)
        await is_well(gateway)
        assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"


async def test_docker_that_stops_during_a_build_costs_an_attempt_and_nothing_else(
    start_on_docker: StartGateway, our_engine: DockerEngine, repositories: Repositories, tmp_path: Path
) -> None:
    async with start_on_docker(tmp_path) as gateway:
        first = await built(gateway, repositories.from_files("first", SITE))
        answer = await gateway.deploy(repositories.from_files("slow", SLOW))
        await gateway.in_step(answer["deploymentId"], "build")
        await asyncio.to_thread(our_engine.stop)  # its containers end with it
        await is_named(gateway)
        assert (await gateway.fetch(first["siteUrl"]))[0] == 200
        await asyncio.to_thread(our_engine.start)
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["attempt"]) == ("READY", 2)
        await is_well(gateway)
        await without_containers(our_engine, answer["deploymentId"])


async def test_docker_away_at_the_start_is_named_and_used_once_it_is_there(
    start_on_docker: StartGateway, our_engine: DockerEngine, repositories: Repositories, tmp_path: Path
) -> None:
    await asyncio.to_thread(our_engine.stop)
    async with start_on_docker(tmp_path, start=False) as gateway:
        await gateway.start(until_ready=False)
        await is_named(gateway)
        answer = await gateway.deploy(repositories.from_files("first", SITE))
        await asyncio.to_thread(our_engine.start)
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["attempt"]) == ("READY", 1)
        await is_well(gateway)
