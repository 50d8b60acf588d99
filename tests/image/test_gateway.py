"""The gateway's image: held as docs/docker.md says, it deploys the example, is killed, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.engines.dockerd import DockerEngine
from tests.image.container import HELD, Shipped, running_image

ZOMBIES = """
import glob
states = [open(path).read().rpartition(")")[2].split()[0] for path in glob.glob("/proc/[0-9]*/stat")]
print(states.count("Z"))
"""


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def deployed(shipped: Shipped, example: str) -> dict[str, Any]:
    """The answer to the deployment of the example, once it has ended."""
    answer = await shipped.gateway.deploy(example)
    deployment = await shipped.gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["reason"], deployment["attempt"]) == ("READY", None, 1)
    return answer


async def test_the_image_says_how_it_is_to_be_run(engine: DockerEngine, image: str) -> None:
    config = json.loads(engine.docker("image", "inspect", "--format", "{{json .Config}}", image))
    assert config["User"] == "10001:10001"
    assert list(config["Volumes"]) == ["/data"]
    assert sorted(config["ExposedPorts"]) == ["8000/tcp", "9000/tcp"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Entrypoint"] == ["tini", "-s", "--", "buildspace"]


async def test_nothing_of_how_the_image_was_made_is_left_in_it(engine: DockerEngine, image: str) -> None:
    leftovers = ("/source", "/wheel", "/root/.cache", "/opt/buildspace/bin/pip", "/opt/build", "/var/lib/apt/lists/*")
    found = engine.docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"ls -d {' '.join(leftovers)} || true")
    assert found == ""


async def test_the_gateway_has_no_rights_and_can_write_only_to_its_volume(shipped: Shipped) -> None:
    run = shipped.container.run
    status = run("cat", "/proc/1/status")
    assert run("id", "-u") == "10001"
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert run("sh", "-c", "touch /opt/buildspace/x /etc/buildspace/x 2>/dev/null; ls /opt/buildspace/x || true") == ""


async def test_a_call_from_outside_needs_the_token_that_was_printed(shipped: Shipped) -> None:
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{shipped.gateway.api}/project") as response:
        assert response.status == 401
    assert (await shipped.gateway.get("/project"))["projects"] is not None


async def test_builds_are_isolated_in_the_container(shipped: Shipped) -> None:
    assert await shipped.gateway.get("/ready") == {"ready": True, "troubles": {}, "isolation": "basic"}


async def test_builds_in_it_have_sockets_of_their_own(shipped: Shipped, deployed: dict[str, Any]) -> None:
    """Docker's default profile allows all that the broker needs."""
    log = await shipped.gateway.log(deployed["deploymentId"])
    assert "closed: UDP ports, abstract and datagram Unix sockets, file watches" in log["rawLogs"][0]["log"]


async def test_the_builders_api_is_not_reachable_from_outside(shipped: Shipped) -> None:
    address = shipped.container.inspect("{{.NetworkSettings.IPAddress}}")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address, 9001)


async def test_the_example_is_deployed_through_the_published_ports(shipped: Shipped, deployed: dict[str, Any]) -> None:
    status, page = await shipped.gateway.fetch(deployed["url"])
    assert (status, b"<title>Your site is live</title>" in page) == (200, True)
    log = await shipped.gateway.log(deployed["deploymentId"])
    assert (log["complete"], log["missing"]) == (True, [])


async def test_what_builds_leave_behind_is_reaped(shipped: Shipped, deployed: dict[str, Any]) -> None:
    assert shipped.container.run("python", "-c", ZOMBIES) == "0"


async def test_nothing_is_lost_when_the_container_is_killed_and_started(
    shipped: Shipped, deployed: dict[str, Any]
) -> None:
    before = await everything(shipped, deployed)
    await again(shipped, "kill", "--signal", "KILL")
    assert await everything(shipped, deployed) == before
    assert shipped.container.logs().count("Access token: ") == 1


async def test_a_stop_ends_by_itself_and_well(shipped: Shipped, deployed: dict[str, Any]) -> None:
    docker = shipped.container.engine.docker
    await asyncio.to_thread(docker, "stop", "--time", "20", shipped.container.name)
    assert shipped.container.inspect("{{.State.ExitCode}}") == "0"
    assert shipped.container.logs().rstrip().endswith("Stopped.")
    docker("start", shipped.container.name)
    await shipped.container.becomes_healthy()
    assert (await shipped.gateway.fetch(deployed["url"]))[0] == 200


async def test_a_backup_that_is_put_back_has_everything(
    shipped: Shipped, image: str, deployed: dict[str, Any], tmp_path: Path
) -> None:
    docker, name, other = shipped.container.engine.docker, shipped.container.name, "buildspace-image-test-restored"
    as_root = ("run", "--rm", "--user", "0", "--entrypoint", "tar")
    before = await everything(shipped, deployed)
    docker("stop", "--time", "20", name)
    docker(
        *as_root, "-v", f"{name}:/data:ro", "-v", f"{tmp_path}:/to", image, "-C", "/data", "-czf", "/to/b.tar.gz", "."
    )
    docker("start", name)
    docker(
        *as_root, "-v", f"{other}:/data", "-v", f"{tmp_path}:/from:ro", image, "-C", "/data", "-xzpf", "/from/b.tar.gz"
    )
    address = shipped.container.inspect("{{range .Config.Env}}{{println .}}{{end}}")
    (url,) = [line.partition("=")[2] for line in address.splitlines() if line.startswith("BUILDSPACE_SITES_URL=")]
    async with running_image(
        shipped.container.engine, image, other, *HELD, token=shipped.token, BUILDSPACE_SITES_URL=url
    ) as restored:
        assert await everything(restored, deployed) == before
    await shipped.container.becomes_healthy()


async def test_it_runs_as_plainly_as_the_readme_says(engine: DockerEngine, image: str) -> None:
    async with running_image(engine, image, "buildspace-image-test-plain") as plain:
        assert (await plain.gateway.get("/ready"))["ready"] is True


async def test_a_container_that_is_stopped_at_once_ends_well(engine: DockerEngine, image: str) -> None:
    name = "buildspace-image-test-short"
    try:
        engine.docker("run", "--detach", "--name", name, image)
        await asyncio.to_thread(engine.docker, "stop", "--time", "20", name)
        assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", name) in ("0", "143")
    finally:
        engine.docker("rm", "--force", "--volumes", name)


async def again(shipped: Shipped, *how: str) -> None:
    """End the container like this, start it, wait until it is well."""
    docker, name = shipped.container.engine.docker, shipped.container.name
    docker(*how, name)
    docker("wait", name)
    docker("start", name)
    await shipped.container.becomes_healthy()


async def everything(shipped: Shipped, deployed: dict[str, Any]) -> tuple[object, ...]:
    """What may not be lost: projects, the deployment, its log, its page."""
    gateway, deployment_id = shipped.gateway, deployed["deploymentId"]
    return (
        await gateway.get("/project"),
        await gateway.get(f"/deployment/{deployment_id}"),
        await gateway.log(deployment_id),
        await gateway.fetch(deployed["url"]),
    )
