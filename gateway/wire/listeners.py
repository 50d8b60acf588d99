"""Listens on addresses. All ports are bound before anything starts, so a port that is taken changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from aiohttp import web

from gateway.errors import ConfigError, PortTaken
from gateway.wire.connections import SERVER, ConnectionServer, Refuse
from gateway.wire.port_holders import holder_of

log = logging.getLogger(__name__)

BACKLOG = 1024
SHUTDOWN_SECONDS = 3.0
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


@contextlib.contextmanager
def bound_sockets(section: str, hosts: Sequence[str], port: int) -> Iterator[list[socket.socket]]:
    """A socket for each host, all on one port; port 0 means a free one.

    ::1 is left out on machines without IPv6. Raises ConfigError that names the setting, PortTaken for a taken port.
    """
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for host in hosts:
            try:
                sockets.append(_bind(host, sockets[0].getsockname()[1] if port == 0 and sockets else port))
            except OSError as error:
                if error.errno in NOT_HERE and ":" in host and len(hosts) > 1:
                    log.warning("this machine has no IPv6, not listening on %s", host)
                    continue
                raise _refusal(section, host, port, error) from error
            stack.callback(sockets[-1].close)
        yield sockets


@contextlib.contextmanager
def bound_unix_socket(path: Path) -> Iterator[list[socket.socket]]:
    """A Unix socket in a folder that only this account may enter. Replaces one that an ended process has left."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # A path may be longer than the address of a socket can be: it goes through a descriptor of the folder.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=folder)
        made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        made.setblocking(False)
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
        made.listen(BACKLOG)
        yield [made]


def is_of_our_account(transport: asyncio.Transport | None) -> bool:
    """False for a client of another account on a Unix socket. root counts as ours."""
    opened = transport.get_extra_info("socket") if transport is not None else None
    if opened is None or opened.family != socket.AF_UNIX:
        return True
    with socket.socket(fileno=os.dup(opened.fileno())) as own:
        _, user, _ = struct.unpack("3i", own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return user in (0, os.geteuid())


@contextlib.asynccontextmanager
async def listening(runner: web.BaseRunner, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Answer on these sockets until the block is left. Running requests then get a short while to end."""
    await runner.setup()
    try:
        for each in sockets:
            make = _UnixSite if each.family == socket.AF_UNIX else web.SockSite
            await make(runner, each, backlog=BACKLOG).start()
        yield
    finally:
        await runner.cleanup()


class _UnixSite(web.SockSite):
    """uvloop takes a Unix socket for a TCP socket unless it is told."""

    async def start(self) -> None:
        await web.BaseSite.start(self)
        assert self._runner.server is not None  # noqa: S101 - the runner was set up
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._runner.server, sock=self._sock, backlog=self._backlog)


class AppRunner(web.AppRunner):
    """Runs an application on ConnectionServer. `refuse` answers what is not HTTP."""

    def __init__(
        self, app: web.Application, refuse: Refuse, on_malformed: Callable[[int], None] = lambda status: None
    ) -> None:
        super().__init__(app, shutdown_timeout=SHUTDOWN_SECONDS)
        app.on_response_prepare.append(_name_server)
        self._refuse = refuse
        self._on_malformed = on_malformed

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return ConnectionServer(
            made.request_handler, self._refuse, make_request=made.request_factory, on_malformed=self._on_malformed
        )


def port_of(sockets: Sequence[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


def url_of(each: socket.socket) -> str:
    host, port = each.getsockname()[:2]
    return f"http://[{host}]:{port}" if each.family is socket.AF_INET6 else f"http://{host}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    is_six = ipaddress.ip_address(host).version == 6
    made = socket.socket(socket.AF_INET6 if is_six else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_six:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind((host, port))
        # A client that connects while the rest still starts waits a moment instead of being refused.
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _refusal(section: str, host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(port)
        return PortTaken(f"Port {port} is taken on {host} by {holder}: stop it, or set {section}.port to a free one.")
    if error.errno == errno.EACCES:
        return ConfigError(f"Port {port} needs more rights than this user has: set {section}.port to one above 1023.")
    if error.errno in NOT_HERE:
        return ConfigError(f"{section}.host: this machine has no address {host}.")
    return ConfigError(f"{section}: cannot listen on {host} port {port}: {error.strerror}.")


async def _name_server(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
