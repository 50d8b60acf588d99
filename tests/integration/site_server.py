"""A listener for sites on a free port, with a store and a database in memory, and ways to talk to it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from gateway.proxy import SiteProxy, create_site_server
from gateway.roles import ObjectStore
from gateway.sites.listener import SiteServer
from gateway.sites.pointers import SitePointers
from tests.unit.sites.fakes import MemoryHosts, MemoryObjects

TEMPLATE = "http://{slug}.localhost:8000"
READ_SECONDS = 20.0


@dataclasses.dataclass
class RawResponse:
    """`is_whole`: as many bytes came as were promised."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True


class Connection:
    """A client that sends what it is told to and reads one response after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self, *, is_head: bool = False) -> RawResponse:
        async with asyncio.timeout(READ_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            status = int(lines[0].split(" ")[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
            has_no_body = is_head or status in (204, 304)
            length = 0 if has_no_body else int(headers.get("content-length", 0))
            try:
                body = await self.reader.readexactly(length)
            except asyncio.IncompleteReadError as error:
                return RawResponse(status, headers, error.partial, is_whole=False)
            except ConnectionError:
                return RawResponse(status, headers, b"", is_whole=False)
        return RawResponse(status, headers, body)

    async def is_closed(self) -> bool:
        """Waits until the server has closed. What it still sends is read and dropped."""
        async with asyncio.timeout(READ_SECONDS):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(1 << 16):
                    pass
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Sites:
    """The running listener."""

    def __init__(self, objects: Any, hosts: MemoryHosts, pointers: SitePointers, proxy: SiteProxy) -> None:
        self.objects = objects
        self.hosts = hosts
        self.pointers = pointers
        self.proxy = proxy
        self.responses: list[tuple[int, int]] = []
        self.port = 0
        self.server: SiteServer | None = None
        self._connections = contextlib.AsyncExitStack()

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self._connections.push_async_callback(connection.close)
        return connection

    async def raw(self, request: str | bytes) -> RawResponse:
        """One request as it stands, on a connection of its own."""
        connection = await self.connect()
        connection.send(request if isinstance(request, bytes) else request.encode("latin-1"))
        return await connection.receive(is_head=request[:5] in ("HEAD ", b"HEAD "))

    async def get(self, host: str, path: str = "/", method: str = "GET", **headers: str) -> RawResponse:
        """Underscores in the names of headers stand for hyphens. A host without dots is a site's label."""
        name = host if "." in host or host.startswith("[") else f"{host}.localhost:8000"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {name}", "Connection: close"]
        lines += [f"{header.replace('_', '-')}: {value}" for header, value in headers.items()]
        return await self.raw("\r\n".join(lines) + "\r\n\r\n")

    async def close(self) -> None:
        await self._connections.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as it is so."""
    async with asyncio.timeout(READ_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running_sites(objects: ObjectStore | None = None, **settings: Any) -> AsyncIterator[Sites]:
    store: Any = objects if objects is not None else MemoryObjects()
    hosts = MemoryHosts()
    pointers = SitePointers(hosts, TEMPLATE, settings.pop("pointer_seconds", 5.0))
    responses: list[tuple[int, int]] = []
    proxy = SiteProxy(pointers, store, on_response=lambda status, size, _: responses.append((status, size)), **settings)
    sites = Sites(store, hosts, pointers, proxy)
    sites.responses = responses
    sites.server = create_site_server(proxy)
    runner = web.ServerRunner(sites.server, shutdown_timeout=1.0)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    sites.port = runner.addresses[0][1]
    try:
        yield sites
    finally:
        await sites.close()
        await runner.cleanup()
