"""The API on a free port: over stores in memory, or over a real database with a launcher that builds nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from gateway.access.middlewares import refuse_request
from gateway.app import Running, create_api_app, running
from gateway.background import Health
from gateway.config import load_config
from gateway.metrics import Metrics
from gateway.models.deployment import Status
from gateway.roles import BuilderState, LaunchOrder
from gateway.wire.listeners import AppRunner, bound_sockets, listening, url_of
from tests.browser.fakes import FakeServices

GIT_URL = "https://github.com/user/repo.git"
Answer = tuple[int, Any]


@dataclasses.dataclass(slots=True)
class Api:
    """Speaks to one API. `services` are what it stands on, for a test to arrange."""

    url: str
    session: aiohttp.ClientSession
    services: Any
    gateway: Running | None = None
    tokens: list[str] = dataclasses.field(default_factory=list)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, headers=headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.call("POST", path, json=body, headers=headers)

    async def call(self, method: str, path: str, **more: Any) -> Answer:
        async with self.session.request(method, self.url + path, **more) as response:
            return response.status, await response.json()

    async def head(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """The status and the headers."""
        async with self.session.request(method, self.url + path, allow_redirects=False, **more) as response:
            await response.read()
            return response.status, response.headers

    async def deploy(self, **body: Any) -> dict[str, Any]:
        status, answer = await self.post("/project", {"name": "site", "gitUrl": GIT_URL, **body})
        assert status == 201, answer
        return answer

    def raw(self, request: bytes) -> bytes:
        """The first answer to exactly these bytes; blocks, so call it in a thread."""
        host, port = self.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(request)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while not is_whole(received) and (piece := connection.recv(65536)):
                    received += piece
        return received


def is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: ([0-9]+)", head)
    return bool(end and length and len(body) >= int(length[1]))


class IdleLauncher:
    """Starts builders that never do anything."""

    name = "idle"
    needs_sandbox = True
    start_seconds = 0.0

    def __init__(self) -> None:
        self.stopped: list[str] = []

    async def launch(self, order: LaunchOrder) -> str:
        return f"idle:{order.deployment_id}:{order.attempt}"

    async def find(self, handles: Sequence[str]) -> dict[str, BuilderState]:
        return {each: BuilderState.GONE if each in self.stopped else BuilderState.RUNNING for each in handles}

    async def stop(self, handle: str, reason: str) -> None:
        self.stopped.append(handle)

    async def tidy(self) -> None:
        pass

    async def last_words(self, handle: str) -> str:
        return ""

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass


class NoDeployments:
    async def count_deployments(self) -> dict[Status, int]:
        return {Status.READY: 2}


@contextlib.asynccontextmanager
async def api_over_memory(**api_settings: Any) -> AsyncIterator[Api]:
    services = FakeServices()
    services.config = dataclasses.replace(services.config, api=dataclasses.replace(services.config.api, **api_settings))
    services.access.api = services.config.api
    services.health = Health()
    services.metrics = Metrics(NoDeployments(), services.health)
    services.isolation = type("Isolation", (), {"name": "strong", "sentence": "It holds."})()
    services.is_stopping = False
    async with contextlib.AsyncExitStack() as stack:
        sockets = stack.enter_context(bound_sockets("api", ["127.0.0.1"], 0))
        await stack.enter_async_context(listening(AppRunner(create_api_app(services), refuse_request), sockets))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Api(url_of(sockets[0]), session, services)


@contextlib.asynccontextmanager
async def api_over_database(database_url: str, folder: Path, **environment: str) -> AsyncIterator[Api]:
    """The whole gateway, but for the builders. `environment`: BUILDSPACE_ variables."""
    config = load_config(
        None,
        {
            "DATABASE_URL": database_url,
            "BUILDSPACE_DATA_DIRECTORY": str(folder / "data"),
            "BUILDSPACE_SITES_PORT": "0",
            "BUILDSPACE_API_PORT": "0",
            "BUILDSPACE_API_HOST": "127.0.0.1",
            "BUILDSPACE_BUILDERS_PORT": "0",
            "BUILDSPACE_BUILDER_ISOLATION": "none",
            **environment,
        },
    )
    tokens: list[str] = []
    async with (
        running(
            config, on_first_token=tokens.append, open_launcher=lambda *_: contextlib.nullcontext(IdleLauncher())
        ) as gateway,
        aiohttp.ClientSession() as session,
    ):
        yield Api(gateway.api_urls[0], session, gateway.services, gateway, tokens)
