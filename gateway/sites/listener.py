"""The connections of visitors: aiohttp's low-level server, made deaf to noise and impatient with who reads nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.clients import TrustedProxies
from gateway.sites.answers import COMMON_HEADERS
from gateway.sites.complaints import Complaints
from gateway.sites.pages import BAD_REQUEST, render_problem
from gateway.sites.sending import SERVER

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

KEEPALIVE_SECONDS = 15.0
"""Also bounds how long the headers of a request may take."""
LINGERING_SECONDS = 2.0
"""How long the body of a request, which nobody wants, is read so that its sender sees the answer."""


class SiteConnection(web.RequestHandler):
    """Counts malformed requests instead of writing a traceback for each."""

    def __init__(self, server: SiteServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            logger=log,
            access_log=None,  # type: ignore[arg-type]  # aiohttp itself passes None for "no log"
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,
        )
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        found = transport.get_extra_info("socket")
        if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
            # What is left in the buffers when a response has ended: else kept for ever for who reads no more.
            with contextlib.suppress(OSError, AttributeError):
                milliseconds = int(self._server.write_seconds * 1000)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            self._server.complaints.warn("A request failed", self._server.proxies.client_of(request), exc)
            return super().handle_error(request, status, None, message)
        self._server.malformed += 1
        self._server.on_response(BAD_REQUEST.status, 0, 0.0)
        if request.writer.output_size > 0:
            raise ConnectionError("The response has begun: another one cannot follow.")
        headers, body = render_problem(BAD_REQUEST, as_page=False)
        response = web.Response(status=400, headers={**COMMON_HEADERS, **headers, "Server": SERVER}, body=body)
        response.force_close()
        return response


class SiteServer(web.Server):
    """`malformed`: how many requests were no HTTP."""

    def __init__(
        self,
        handler: Handler,
        *,
        proxies: TrustedProxies,
        write_seconds: float,
        on_response: Callable[[int, int, float], None],
    ) -> None:
        super().__init__(handler)
        self.proxies = proxies
        self.write_seconds = write_seconds
        self.on_response = on_response
        self.complaints = Complaints(log)
        self.malformed = 0

    def __call__(self) -> SiteConnection:
        return SiteConnection(self, asyncio.get_running_loop())
