"""A gateway as people get it: in a container of the shipped image, reached through its published ports."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.engines.dockerd import CLIENT, DockerEngine
from tests.engines.gateway import Gateway, eventually
from tests.engines.ports import free_ports

HELD = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--memory", "2g", "--pids-limit", "1024"),
)
"""How docs/docker.md says to run it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Container:
    engine: DockerEngine
    name: str

    def inspect(self, wanted: str) -> str:
        return self.engine.docker("inspect", "--format", wanted, self.name)

    def run(self, *command: str) -> str:
        """What a command prints in it."""
        return self.engine.docker("exec", self.name, *command)

    def logs(self) -> str:
        """Both streams."""
        return subprocess.run(
            [CLIENT, "--host", self.engine.host, "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        ).stdout

    async def is_healthy(self) -> bool:
        assert self.inspect("{{.State.Running}}") == "true", f"The container has ended:\n{self.logs()}"
        return self.inspect("{{.State.Health.Status}}") == "healthy"

    async def becomes_healthy(self) -> None:
        await eventually(self.is_healthy, f"{self.name} becomes healthy", 60)


@dataclasses.dataclass(frozen=True, slots=True)
class Shipped:
    """`gateway` calls with the token that was printed."""

    container: Container
    gateway: Gateway
    token: str


@contextlib.asynccontextmanager
async def running_image(
    engine: DockerEngine, image: str, name: str, *options: str, token: str = "", **settings: str
) -> AsyncIterator[Shipped]:
    """A healthy gateway in a container with a volume of its own, until the block is left; nothing of it stays.

    `token`: of a volume that has been filled before. Without it the gateway prints one.
    """
    sites, api = free_ports(2)
    settings.setdefault("BUILDSPACE_SITES_URL", f"http://{{slug}}.localhost:{sites}")
    container = Container(engine, name)
    try:
        engine.docker(
            *("run", "--detach", "--name", name, "--volume", f"{name}:/data"),
            *("--publish", f"127.0.0.1:{sites}:8000", "--publish", f"127.0.0.1:{api}:9000"),
            *(part for key, value in settings.items() for part in ("--env", f"{key}={value}")),
            *options,
            image,
        )
        await container.becomes_healthy()
        token = token or await printed_token(container)
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
            yield Shipped(container, Gateway(Path(), {}, sites, api, 9001, session), token)
    finally:
        engine.docker("rm", "--force", name, check=False)
        engine.docker("volume", "rm", name, check=False)


async def printed_token(container: Container) -> str:
    """The one that a person reads in `docker logs`."""

    async def look() -> str | None:
        found = re.search(r"^Access token: (\S+)$", container.logs(), re.MULTILINE)
        return found[1] if found else None

    return str(await eventually(look, "the token is printed", 30))
