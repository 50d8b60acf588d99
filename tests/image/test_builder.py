"""The builder's image: a gateway with the Docker launcher builds the example in it."""

from __future__ import annotations

from pathlib import Path

from tests.engines.dockerd import DockerEngine
from tests.engines.gateway import eventually, running_gateway
from tests.engines.ports import free_ports


async def test_a_gateway_builds_the_example_in_a_container(
    engine: DockerEngine, builder_image: str, bridge: str, example: str, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    settings = {
        "BUILDSPACE_DOCKER_IMAGE": builder_image,
        "BUILDSPACE_DOCKER_HOST": engine.host,
        "BUILDSPACE_BUILDERS_HOST": bridge,
        "BUILDSPACE_BUILDERS_PORT": str(port),
        "BUILDSPACE_BUILDERS_URL": f"http://{bridge}:{port}",
        "BUILDSPACE_BUILDER_ALLOW_PRIVATE_HOSTS": example.split("/")[2],
    }
    async with running_gateway(tmp_path, **settings) as gateway:
        answer = await gateway.deploy(example)
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["reason"], deployment["attempt"]) == ("READY", None, 1)
        status, page = await gateway.fetch(answer["url"])
        assert (status, b"<title>Your site is live</title>" in page) == (200, True)
        log = await gateway.log(answer["deploymentId"])
        assert (log["complete"], log["missing"]) == (True, [])
        assert "(isolation: container" in log["rawLogs"][0]["log"]

        async def nothing_left() -> bool:
            return not engine.docker("ps", "--all", "--quiet", "--filter", f"name=buildspace-{answer['deploymentId']}")

        await eventually(nothing_left, "the builder's container is removed", 60)


async def test_the_image_says_how_it_is_to_be_run(engine: DockerEngine, builder_image: str) -> None:
    inspect = ("image", "inspect", "--format")
    assert engine.docker(*inspect, "{{.Config.User}} {{.Config.StopSignal}}", builder_image) == "10001:10001 SIGTERM"
