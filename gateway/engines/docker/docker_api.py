"""The calls to a Docker engine. aiodocker's errors become DockerRefusal or Unavailable."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerError
from aiodocker.volumes import DockerVolume

from gateway.errors import ConfigError, Unavailable

CONNECT_SECONDS = 3.0
CALL_SECONDS = 20.0
LOOK_SECONDS = 0.05
FIRST_LINES = 20
STOP_SECONDS = 4
"""A container that has not ended this long after SIGTERM is killed."""
MISSING = 404
CANNOT_CONNECT = 900
"""aiodocker's own status for a failed connection."""

Found = dict[str, Any]


class DockerRefusal(Exception):
    """The engine answered with an error. `status` is the HTTP status, `message` the engine's message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class DockerApi:
    """Each call ends within its time limit. Raises DockerRefusal, and Unavailable while the engine is away."""

    def __init__(self, client: aiodocker.Docker, host: str) -> None:
        self._client = client
        self.host = host

    async def image(self, name: str) -> Found:
        with self._speaking():
            return dict(await self._client.images.inspect(name))

    async def version(self) -> Found:
        with self._speaking():
            return dict(await self._client.version())

    async def network(self, name: str) -> Found:
        with self._speaking():
            return await (await self._client.networks.get(name)).show()

    async def create_network(self, settings: Found) -> None:
        with self._speaking():
            await self._client.networks.create(settings)

    async def create(self, name: str, settings: Found) -> str:
        """The id of a new container, which is not started yet. 409: the name is taken; 404: the image is missing."""
        with self._speaking():
            return (await self._client.containers.create(settings, name=name)).id

    async def start(self, container: str) -> None:
        """A container that already runs is not an error."""
        with self._speaking():
            await self._client.containers.container(container).start()

    async def inspect(self, container: str) -> Found | None:
        """None if the engine has no such container."""
        with self._speaking(), _fine_if(MISSING):
            return dict(await self._client.containers.container(container).show())
        return None

    async def stop(self, container: str) -> None:
        """One that is gone is not an error."""
        with self._speaking(), _fine_if(MISSING):
            await self._client.containers.container(container).stop(t=STOP_SECONDS, timeout=_TIMEOUT)

    async def remove(self, container: str) -> None:
        """Kill it if it runs, and remove it with its files. One that is gone is not an error."""
        # Another gateway, or an earlier call of our own, may be removing it.
        with self._speaking(), _fine_if(MISSING), _fine_if(409, "already in progress"):
            await self._client.containers.container(container).delete(force=True, v=True, timeout=_TIMEOUT)

    async def labeled(self, label: str, statuses: Sequence[str]) -> list[Found]:
        filters = json.dumps({"label": [label], "status": list(statuses)})
        with self._speaking():
            found = await self._client.containers.list(all=True, filters=filters)
            return [dict(each._container) for each in found]

    async def remove_left_volumes(self, label: str) -> None:
        """Remove volumes whose container is gone. One whose container is being created stays."""
        filters = {"label": [label], "dangling": ["true"]}
        with self._speaking():
            left = (await self._client.volumes.list(filters=filters))["Volumes"] or []
            for each in left:
                with _fine_if(MISSING), _fine_if(409, "in use"):
                    await DockerVolume(self._client, each["Name"]).delete()

    async def tail(self, container: str, lines: int) -> str:
        """Its last output, on both streams."""
        with self._speaking(), _fine_if(MISSING):
            pieces = await self._client.containers.container(container).log(
                stdout=True, stderr=True, tail=lines, timeout=_TIMEOUT
            )
            return "".join(pieces)
        return ""

    async def first_line(self, container: str) -> str:
        """Its first line, as soon as it is written. Empty if it ends without output."""
        # Not by following its log: aiodocker leaves that connection open unless the log is read to its end.
        while True:
            found = await self.inspect(container)
            if "\n" in (said := await self.tail(container, FIRST_LINES)):
                return said.partition("\n")[0]
            if found is None or found["State"]["Status"] not in ("created", "running"):
                return said
            await asyncio.sleep(LOOK_SECONDS)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except DockerError as error:
            if error.status != CANNOT_CONNECT:
                raise DockerRefusal(error.status, " ".join(str(error.message).split())[:500]) from error
            raise Unavailable(self._away("cannot be reached")) from error
        except TimeoutError as error:
            raise Unavailable(self._away(f"does not answer within {CALL_SECONDS:.0f} s")) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(self._away("broke off in the middle of an answer")) from error

    def _away(self, what: str) -> str:
        return f"The Docker engine at {self.host} {what}. Check that it runs and that docker.host is right."


_TIMEOUT = aiohttp.ClientTimeout(total=CALL_SECONDS, sock_connect=CONNECT_SECONDS)


@contextlib.asynccontextmanager
async def open_docker_api(host: str) -> AsyncIterator[DockerApi]:
    """Makes no call yet. Raises ConfigError for an invalid address."""
    try:
        client = aiodocker.Docker(host, timeout=_TIMEOUT)
    except (ValueError, OSError) as error:
        raise ConfigError(
            "docker.host: expected an address such as unix:///var/run/docker.sock or tcp://10.0.0.5:2376,"
            f" not {host!r}."
        ) from error
    try:
        yield DockerApi(client, host)
    finally:
        await client.close()


def was_refused(error: DockerRefusal, status: int, *words: str) -> bool:
    return error.status == status and all(word in error.message.lower() for word in words)


@contextlib.contextmanager
def _fine_if(status: int, words: str = "") -> Iterator[None]:
    """An answer with this status and message counts as success."""
    try:
        yield
    except DockerError as error:
        if error.status != status or words not in str(error.message):
            raise


def environment_list(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


def missing_image(image: str, error: DockerRefusal) -> str:
    if not was_refused(error, 404):
        return f"Docker does not show the image {image} ({error.message})."
    return (
        f"Docker has no image {image} (docker.image). Build it in Buildspace's repository:"
        f" docker build -t {image} -f builder/Dockerfile . Or fetch it: docker pull {image}"
    )
