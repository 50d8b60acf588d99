"""What `buildspace doctor` looks at in a Docker engine: version, image, and the wall around builders."""

from __future__ import annotations

from gateway import config
from gateway.errors import LaunchRefused, Unavailable
from gateway.launchers.docker import builder_network, choose_isolation, missing_image
from gateway.launchers.docker_api import DockerRefusal, open_docker_api
from gateway.launchers.docker_network import ApiOutOfReach


async def examine(configuration: config.Config) -> str:
    """What is there, in a sentence. Makes the network and its rules, and starts no builder.

    Raises ConfigError, and Unavailable with what is wrong.
    """
    isolation = choose_isolation(configuration)
    settings = configuration.docker
    async with open_docker_api(settings.host) as api:
        try:
            version = (await api.version()).get("Version", "?")
            await api.image(settings.image)
        except DockerRefusal as error:
            raise Unavailable(missing_image(settings.image, error)) from error
        found = f"containers of {settings.image} on Docker {version}, isolation {isolation}"
        try:
            await builder_network(api, configuration).wall_off()
        except ApiOutOfReach:
            return (
                f"{found}; the network {settings.network} is closed. The builders' API does not answer there at"
                f" {configuration.builders_url}: right while no gateway runs; otherwise look at builders.url."
            )
        except LaunchRefused as refusal:
            raise Unavailable(refusal.sentence) from refusal
    return f"{found}; the network {settings.network} is closed, and the builders' API is reached from it."
