"""The network of the builders on a Docker engine, and the test that it is closed.

Docker separates the containers of one network (`enable_icc`), but lets them reach every service of its machine and of
the networks behind it. So the builder image sets rules in the engine's own network (builder/firewall.py). Before the
first builder starts, and regularly afterwards, a test container on the builders' network tries to get past them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import urlsplit

from gateway.engines.docker.docker_api import DockerApi, DockerRefusal, Found
from gateway.errors import LaunchRefused, Unavailable

log = logging.getLogger(__name__)

PROOF_SECONDS = 300.0
"""The rules may disappear meanwhile: the machine restarts, or a person flushes its firewall."""
CHECK_SECONDS = 40.0
BRIDGE_NAME = "com.docker.network.bridge.name"
BETWEEN_CONTAINERS = "com.docker.network.bridge.enable_icc"
LABEL = "buildspace.network"
LEFT_SECONDS = 120.0
"""Longer than any container of this module runs."""
FIREWALL = ("python", "-P", "-m", "builder.firewall")
DEFAULT_PORTS = {"http": 80, "https": 443}


class ApiOutOfReach(LaunchRefused):
    """The rules hold, but the builders' API cannot be reached from the network."""


class BuilderNetwork:
    """`private_hosts`: the hosts that builders may reach besides the public network and the builders' API."""

    def __init__(
        self,
        api: DockerApi,
        name: str,
        image: str,
        builders_url: str,
        private_hosts: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._api = api
        self._image = image
        self.builders_url = builders_url
        self._private_hosts = list(private_hosts)
        self._clock = clock
        self._proven_at = float("-inf")
        self._lock = asyncio.Lock()

    def forget_proof(self) -> None:
        """The engine was away, so the rules may be gone: test them again."""
        self._proven_at = float("-inf")

    async def wall_off(self) -> None:
        """Ensure that the network exists and is closed, by a recent test. Raises LaunchRefused with what is open."""
        async with self._lock:
            if self._clock() - self._proven_at < PROOF_SECONDS:
                return
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._prove(await self._bridge())
            except TimeoutError as error:
                raise Unavailable(
                    "The network of the builders could not be checked in time. Is Docker busy?"
                ) from error
            self._proven_at = self._clock()

    async def _bridge(self) -> str:
        """The name of its interface. Creates the network if it is missing."""
        try:
            found = await self._find_or_make()
        except DockerRefusal as error:
            raise LaunchRefused(f"Docker has not made the network {self.name} ({error.message}).") from error
        options = found.get("Options") or {}
        if found.get("Driver") != "bridge" or options.get(BETWEEN_CONTAINERS) != "false":
            raise LaunchRefused(
                f"The Docker network {self.name} lets builders reach each other. Remove it, and the gateway makes a"
                f" new one: docker network rm {self.name}. Or name another in docker.network."
            )
        return str(options.get(BRIDGE_NAME) or f"br-{found['Id'][:12]}")

    async def _find_or_make(self) -> Found:
        try:
            return await self._api.network(self.name)
        except DockerRefusal as error:
            if error.status != 404:
                raise
        log.info("docker network is made: %s", self.name)
        try:
            await self._api.create_network(network_settings(self.name))
        except DockerRefusal as refusal:
            with contextlib.suppress(DockerRefusal):
                return await self._api.network(self.name)  # another gateway was faster
            raise refusal
        return await self._api.network(self.name)

    async def _prove(self, bridge: str) -> None:
        """Set the rules, then try to get past them."""
        await self._sweep()
        wall = ("close", bridge, self.builders_url, *self._private_hosts)
        async with self._running(wall, {"NetworkMode": "host", "CapAdd": ["NET_ADMIN"]}, user="0:0") as said:
            listening = _list_of(said, "listening")
            if not listening:
                raise LaunchRefused(
                    f"Builds are refused: the network of the builders could not be closed ({said[:300]})."
                    f" The image {self._image} must be able to make firewall rules on Docker's machine."
                )
            gate = api_place(self.builders_url)
            async with self._running(("reach", gate, *listening), {"NetworkMode": self.name}, user="65534") as answer:
                self._judge(_list_of(answer, "reached"), gate, answer)

    def _judge(self, reached: list[str] | None, gate: str, said: str) -> None:
        if reached is None:
            raise LaunchRefused(f"Builds are refused: the network of the builders could not be tried ({said[:300]}).")
        if through := [place for place in reached if place != gate]:
            raise LaunchRefused(
                f"Builds are refused: a builder in the network {self.name} reaches the services of Docker's machine"
                f" ({', '.join(sorted(through))}), in spite of the firewall rules that were made. Check the firewall."
            )
        if gate not in reached:
            raise ApiOutOfReach(
                f"Builders in the network {self.name} do not reach the builders' API at {self.builders_url}."
                " Check builders.url, builders.host and the firewall of that machine."
            )

    @contextlib.asynccontextmanager
    async def _running(self, arguments: Sequence[str], host_config: Found, *, user: str) -> AsyncIterator[str]:
        """Runs a small container of the builder image for the length of the block. Yields its first output."""
        settings = {
            "Image": self._image,
            "Cmd": [*FIREWALL, *arguments],
            "User": user,
            "Labels": {LABEL: self.name},
            "HostConfig": {
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Memory": 256 * 1024**2,
                "PidsLimit": 32,
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "64k", "max-file": "1"}},
                **host_config,
            },
        }
        container = ""
        try:
            try:
                container = await self._api.create(f"buildspace-network-{secrets.token_hex(6)}", settings)
                await self._api.start(container)
                said = await self._api.first_line(container)
            except DockerRefusal as error:
                raise LaunchRefused(
                    f"Builds are refused: the network of the builders could not be checked ({error.message})."
                ) from error
            yield said
        finally:
            if container:
                await self._remove(container)

    async def _sweep(self) -> None:
        """Removes what a gateway left that was killed during a test."""
        try:
            for found in await self._api.labeled(f"{LABEL}={self.name}", ("created", "exited", "dead")):
                if time.time() - float(found.get("Created", 0)) > LEFT_SECONDS:
                    await self._api.remove(str(found["Id"]))
        except (DockerRefusal, Unavailable) as error:
            log.warning("leftover containers could not be removed: %s", error)

    async def _remove(self, container: str) -> None:
        try:
            await self._api.remove(container)
        except (DockerRefusal, Unavailable) as error:
            log.warning("container %s could not be removed: %s", container[:12], error)


def network_settings(name: str) -> Found:
    return {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "EnableIPv6": False,
        "Options": {BRIDGE_NAME: bridge_name(name), BETWEEN_CONTAINERS: "false"},
        "Labels": {LABEL: name},
    }


def bridge_name(network: str) -> str:
    """A valid and unique name for the interface, by which the rules and people can recognise it."""
    return f"bs-{hashlib.sha256(network.encode()).hexdigest()[:10]}"


def api_place(builders_url: str) -> str:
    """host:port"""
    url = urlsplit(builders_url)
    host = f"[{url.hostname}]" if ":" in str(url.hostname) else url.hostname
    return f"{host}:{url.port or DEFAULT_PORTS.get(url.scheme, 0)}"


def _list_of(said: str, key: str) -> list[str] | None:
    """None if this is not the expected output."""
    try:
        return [str(each) for each in json.loads(said)[key]]
    except (ValueError, KeyError, TypeError):
        return None
