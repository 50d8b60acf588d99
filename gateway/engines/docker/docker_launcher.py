"""Builders as containers of a Docker engine. They outlive the gateway, and all gateways with this engine share them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from builder.protocol.calls import Isolation
from builder.protocol.registries import INDEXES, REGISTRIES
from gateway import config
from gateway.background import each_of
from gateway.engines.builder_environment import isolation_inside, order_environment
from gateway.engines.docker.docker_api import (
    DockerApi,
    DockerRefusal,
    Found,
    environment_list,
    missing_image,
    open_docker_api,
    was_refused,
)
from gateway.engines.docker.docker_examination import examine_docker
from gateway.engines.docker.docker_network import BuilderNetwork
from gateway.errors import ConfigError, LaunchRefused, Unanswered, Unavailable
from gateway.models.lifecycle import CONTAINER_START_SECONDS
from gateway.roles import BuilderState, LaunchOrder

log = logging.getLogger(__name__)

INHERITED = ("TZ", *REGISTRIES, *INDEXES)
"""Settings that the image can't contain. Paths of this machine do not exist in it."""
LABEL = "buildspace.launcher"
WORK = "/work"
TEMPORARY_BYTES = 256 * 1024**2
SPARE_PROCESSES = 64
"""For the builder itself, in addition to those of its build."""
FIRST_TO_DIE = 500
"""When the machine runs out of memory, the kernel ends builds before other programs."""
LOG = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}}
LAST_LINES = 10
LOOKS_AT_ONCE = 10
LAST_WORDS_LETTERS = 800
LEFT_SECONDS = 3600.0
CREATE_TRIES, CREATE_PAUSE_SECONDS = 50, 0.1
FIRST_ACCOUNT, ACCOUNTS = 20_000, 40_000
_RUNNING = ("created", "running", "paused", "restarting")
_MACHINE_ID = Path("/etc/machine-id")


class DockerLauncher:
    """A handle is `docker:` and the id of a container."""

    needs_sandbox = False
    start_seconds = CONTAINER_START_SECONDS

    def __init__(
        self,
        api: DockerApi,
        network: BuilderNetwork,
        settings: config.Docker,
        builder: config.Builder,
        isolation: Isolation,
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = engine_name(settings.host)
        self._api = api
        self._network = network
        self._settings = settings
        self._builder = builder
        self._isolation = isolation
        self._environ = environ

    async def launch(self, order: LaunchOrder) -> str:
        """The container's name comes from the order, so a repeated order finds the container, whatever its state."""
        name = f"buildspace-{order.deployment_id}-{order.attempt}"
        found = await self._inspect(name)
        if found is None:
            await self._look_for_image()
            await self._wall_off()
            found = await self._create(name, order)
        if found["State"]["Status"] == "created":
            await self._start(str(found["Id"]))
        return f"docker:{found['Id']}"

    async def find(self, handles: Sequence[str]) -> dict[str, BuilderState]:
        states: dict[str, BuilderState] = {}

        async def look(handle: str) -> None:
            try:
                found = await self._api.inspect(_container_of(handle))
            except DockerRefusal as error:
                log.warning("Docker does not show the builder %s: %s", handle[:19], error.message)
            else:
                states[handle] = _state_of(found)

        await each_of([each for each in handles if _is_own(each)], look, at_once=LOOKS_AT_ONCE)
        return states

    async def stop(self, handle: str, reason: str) -> None:
        container = _container_of(handle)
        try:
            if _state_of(await self._inspect(container)) is BuilderState.RUNNING:
                log.info("stop builder %s: %s", handle[:19], reason)
                await self._api.stop(container)
            await self._api.remove(container)
        except DockerRefusal as error:
            raise Unavailable(f"Docker does not remove the builder {handle[:19]} ({error.message}).") from error

    async def last_words(self, handle: str) -> str:
        container = _container_of(handle)
        found = await self._inspect(container)
        if found is None:
            return ""
        try:
            said = await self._api.tail(container, LAST_LINES)
        except DockerRefusal as error:
            said = error.message
        return last_words(found["State"], said, self._builder.memory_bytes)

    async def check(self) -> None:
        """The engine answers and has the image."""
        try:
            await self._api.image(self._settings.image)
        except DockerRefusal as error:
            self._network.forget_proof()
            raise Unavailable(missing_image(self._settings.image, error)) from error
        except Unavailable:
            self._network.forget_proof()
            raise

    async def examine(self) -> str:
        return await examine_docker(self._api, self._network, self._settings, self._isolation)

    async def close(self) -> None:
        """Containers continue, and the next gateway finds them."""

    async def _look_for_image(self) -> None:
        try:
            await self._api.image(self._settings.image)
        except DockerRefusal as error:
            raise LaunchRefused(missing_image(self._settings.image, error)) from error

    async def _wall_off(self) -> None:
        try:
            await self._network.wall_off()
        except LaunchRefused as error:
            if self._isolation is not Isolation.NONE:
                raise
            log.warning("builder.isolation is none, so a build starts anyway: %s", error.sentence)

    async def _create(self, name: str, order: LaunchOrder) -> Found:
        """Docker reserves a name while it creates a container, so ask again until that container exists."""
        for _ in range(CREATE_TRIES):
            try:
                await self._api.create(name, self._container(order))
            except DockerRefusal as error:
                if not was_refused(error, 409, "already in use"):
                    raise LaunchRefused(f"Docker has not made the builder's container ({error.message}).") from error
            if (found := await self._inspect(name)) is not None:
                return found
            await asyncio.sleep(CREATE_PAUSE_SECONDS)
        raise LaunchRefused(
            f"Docker reserves the name {name} for a container that it does not list. Check Docker's log."
        )

    async def _start(self, container: str) -> None:
        try:
            await self._api.start(container)
        except DockerRefusal as error:
            with contextlib.suppress(DockerRefusal, Unavailable):
                await self._api.remove(container)
            raise LaunchRefused(f"Docker has not started the builder's container ({error.message}).") from error
        except Unavailable as error:
            raise Unanswered(error.sentence) from error

    async def _inspect(self, container: str) -> Found | None:
        try:
            return await self._api.inspect(container)
        except DockerRefusal as error:
            raise Unavailable(f"Docker does not show the container {container[:60]} ({error.message}).") from error

    async def tidy(self) -> None:
        """Removes containers that no gateway stopped, because their attempt was forgotten or a gateway died between two
        calls.

        Also removes the work folders of containers that were removed by others, or with which the engine died.
        """
        label = f"{LABEL}={self.name}"
        try:
            for found in await self._api.labeled(label, ("created", "exited", "dead")):
                if time.time() - float(found.get("Created", 0)) > LEFT_SECONDS + self._builder.time_limit_seconds:
                    await self._api.remove(str(found["Id"]))
            await self._api.remove_left_volumes(label)
        except DockerRefusal as error:
            raise Unavailable(f"Docker does not remove what old builders left ({error.message}).") from error

    def _container(self, order: LaunchOrder) -> Found:
        # An account for each container, because the kernel counts processes by account over all containers.
        account = FIRST_ACCOUNT + order.deployment_id.int % ACCOUNTS
        return {
            "Image": self._settings.image,
            "Env": environment_list(self._environment(order)),
            "User": f"{account}:{account}",
            "Labels": {
                LABEL: self.name,
                "buildspace.deployment": str(order.deployment_id),
                "buildspace.attempt": str(order.attempt),
            },
            "StopSignal": "SIGTERM",
            "HostConfig": self._limits(),
        }

    def _environment(self, order: LaunchOrder) -> dict[str, str]:
        return {
            **{name: self._environ[name] for name in INHERITED if name in self._environ},
            **order_environment(order, self._isolation),
            "BUILDSPACE_WORK": WORK,
        }

    def _limits(self) -> Found:
        """The work folder is a volume on the engine's disk that is removed with the container.

        A tmpfs would have a size, but counts as memory. The builder watches builder.disk_bytes in the volume.
        """
        return {
            "NetworkMode": self._settings.network,
            "Memory": self._builder.memory_bytes,
            "MemorySwap": self._builder.memory_bytes,
            "PidsLimit": self._builder.processes + SPARE_PROCESSES,
            "NanoCpus": int(self._settings.cpus * 1e9),
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            # Docker's init would have the token in its environment, which every build could read.
            "Init": False,
            "Mounts": [{"Type": "volume", "Target": WORK, "VolumeOptions": {"Labels": {LABEL: self.name}}}],
            "Tmpfs": {"/tmp": f"rw,nosuid,nodev,mode=1777,size={TEMPORARY_BYTES}"},  # noqa: S108 - in the container
            # The builder limits open files: an engine may not be able to raise its own limit.
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "OomScoreAdj": FIRST_TO_DIE,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": LOG,
        }


@contextlib.asynccontextmanager
async def open_docker(configuration: config.Config) -> AsyncIterator[DockerLauncher]:
    """Makes no call yet. Raises ConfigError for an isolation that containers lack, and for an invalid address."""
    isolation = choose_isolation(configuration)
    async with open_docker_api(configuration.docker.host) as api:
        network = builder_network(api, configuration)
        yield DockerLauncher(api, network, configuration.docker, configuration.builder, isolation)


def builder_network(api: DockerApi, configuration: config.Config) -> BuilderNetwork:
    settings = configuration.docker
    # With Kafka, builders send their log lines there themselves.
    private_hosts = [*configuration.builder.allow_private_hosts, *configuration.kafka.brokers]
    return BuilderNetwork(api, settings.network, settings.image, configuration.builders_url, private_hosts)


def choose_isolation(configuration: config.Config) -> Isolation:
    """The isolation of the builder in the container. Raises ConfigError for a grade that is not available there."""
    wanted = configuration.builder.isolation
    told = isolation_inside(wanted, "Each build has a container of its own in Docker")
    if wanted == Isolation.NONE and not configuration.is_loopback_only:
        raise ConfigError(
            "builder.isolation is none, and the API listens beyond this machine: builds would be too weakly isolated."
            " Set builder.isolation to auto."
        )
    return told


def engine_name(host: str) -> str:
    """The same after each start, and for all gateways that use the same engine.

    A network address names one engine for all gateways; a Unix socket names that of its machine.
    """
    place = host if not host.startswith("unix:") else f"{machine_id()}:{host}"
    return f"docker:{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def machine_id() -> str:
    """systemd's machine id, which never changes. Containers have none, so their host name is used."""
    with contextlib.suppress(OSError):
        if found := _MACHINE_ID.read_text().strip():
            return found
    return socket.gethostname()


def last_words(state: Mapping[str, object], said: str, memory_bytes: int) -> str:
    """Why a container ended, from Docker's state of it and its last output."""
    reasons = []
    if state.get("OOMKilled"):
        reasons.append(f"The container ran out of its memory, {memory_bytes // 2**20} MiB (builder.memory_bytes).")
    elif state.get("ExitCode") == 137:
        reasons.append("The container was killed.")
    elif state.get("ExitCode"):
        reasons.append(f"The builder ended with exit code {state['ExitCode']}.")
    if state.get("Error"):
        reasons.append(f"Docker says: {state['Error']}.")
    if said.strip():
        reasons.append(said.strip()[-LAST_WORDS_LETTERS:])
    return " ".join(reasons)


def _state_of(found: Found | None) -> BuilderState:
    is_running = found is not None and found["State"]["Status"] in _RUNNING
    return BuilderState.RUNNING if is_running else BuilderState.GONE


def _is_own(handle: str) -> bool:
    kind, _, container = handle.partition(":")
    return kind == "docker" and container.isalnum()


def _container_of(handle: str) -> str:
    """Raises Unavailable for another launcher's handle, because its state is unknown."""
    if not _is_own(handle):
        raise Unavailable(f"{handle!r} is not a handle of the Docker launcher.")
    return handle.partition(":")[2]
