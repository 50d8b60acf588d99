"""The doctor's examination of a Docker engine: version, image, and the firewall around builders."""

from __future__ import annotations

from gateway import config
from gateway.engines.docker.docker_api import DockerApi, DockerRefusal, missing_image
from gateway.engines.docker.docker_network import ApiOutOfReach, BuilderNetwork
from gateway.errors import LaunchRefused, Unavailable


async def examine_docker(api: DockerApi, network: BuilderNetwork, settings: config.Docker, isolation: str) -> str:
    """Starts no builder and creates no network. If the network exists, its rules are renewed and tried."""
    try:
        version = (await api.version()).get("Version", "?")
        await api.image(settings.image)
    except DockerRefusal as error:
        raise Unavailable(missing_image(settings.image, error)) from error
    found = (
        f"containers of {settings.image} on Docker {version}, isolation {isolation} (the first line of each build's"
        " log says what it does not hold)"
    )
    if not await _has_network(api, network.name):
        return f"{found}; the network {network.name} is created and closed before the first build."
    try:
        await network.wall_off()
    except ApiOutOfReach:
        return (
            f"{found}; the network {network.name} is closed. The builders' API does not answer there at"
            f" {network.builders_url}: this is expected while no gateway runs; otherwise check builders.url."
        )
    except LaunchRefused as refusal:
        raise Unavailable(refusal.sentence) from refusal
    return f"{found}; the network {network.name} is closed, and the builders' API is reached from it."


async def _has_network(api: DockerApi, name: str) -> bool:
    try:
        await api.network(name)
    except DockerRefusal as error:
        if error.status != 404:
            raise Unavailable(f"Docker does not show the network {name} ({error.message}).") from error
        return False
    return True
