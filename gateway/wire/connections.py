"""The HTTP connections of all listeners: aiohttp's own, except that each one ends in time, whatever its client
sends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from yarl import URL

from gateway.wire.clients import NO_PROXIES, TrustedProxies
from gateway.wire.complaints import Complaints

log = logging.getLogger(__name__)

Handler = Callable[[Any], Awaitable[web.StreamResponse]]
Refuse = Callable[[int], web.Response]
"""Answers a request that never reached a handler, in the listener's format: 400, 417, 500 or 505."""

SERVER = "buildspace"
CONTINUE = "100-continue"
"""The only expectation that HTTP defines."""
VERSIONS = (HttpVersion10, HttpVersion11)
KEEPALIVE_SECONDS = 15.0
"""Also limits how long the headers of a request may take."""
LINGERING_SECONDS = 2.0
"""How long the gateway reads the rest of a body after its answer, so that the sender sees the answer."""
WRITE_SECONDS = 60.0
"""How long a client may accept no bytes."""
_BROKEN = (HttpProcessingError, web.RequestPayloadError)
_OTHER_VERSIONS = ("Bad status line:\n  Invalid HTTP version", "Pause on PRI")
"""The beginnings of llhttp's messages for HTTP/1.2, 3.0 and the like, and for the preface of HTTP/2."""
_REFUSAL = web.RequestKey("refusal", HttpProcessingError)


class ConnectionServer(web.Server):
    """Answers requests with `handler`, and anything that is not HTTP/1.0 or HTTP/1.1 with `refuse`.

    `on_malformed` is called with the status of the answer to each such request; `malformed` counts them.
    """

    def __init__(
        self,
        handler: Handler,
        refuse: Refuse,
        *,
        make_request: Callable[..., web.BaseRequest] | None = None,
        proxies: TrustedProxies = NO_PROXIES,
        write_seconds: float = WRITE_SECONDS,
        on_malformed: Callable[[int], None] = lambda status: None,
    ) -> None:
        super().__init__(self._answer, request_factory=self._read)
        self._handler = handler
        self._refuse = refuse
        self._make = make_request or self._make_request
        self.proxies = proxies
        self.write_seconds = write_seconds
        self._on_malformed = on_malformed
        self.complaints = Complaints(log)
        self.malformed = 0

    def __call__(self) -> Connection:
        return Connection(self, asyncio.get_running_loop())

    def refuse(self, status: int) -> web.Response:
        """Also closes the connection, because the beginning of the next request cannot be found."""
        response = self._refuse(status)
        response.headers["Server"] = SERVER
        response.force_close()
        return response

    def count_malformed(self, status: int) -> None:
        self.malformed += 1
        self._on_malformed(status)

    def _read(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        """The request for a parsed message, or a request that `_answer` refuses if the message makes none.

        aiohttp calls this where an exception would end the task of the connection and leave its socket open for ever.
        """
        try:
            if message.version not in VERSIONS:
                raise _unsupported(f"HTTP/{message.version.major}.{message.version.minor}")
            return self._make(message, payload, protocol, writer, task)
        except Exception as error:  # noqa: BLE001  anything may come: yarl raises UnicodeError for `http://xn--a/`
            plain = message._replace(url=URL("/"), version=HttpVersion11)
            request = web.BaseRequest(plain, payload, protocol, writer, task, self._loop)
            request[_REFUSAL] = _as_malformed(error)
            return request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if (refusal := request.get(_REFUSAL)) is not None:
            raise refusal
        if request.headers.get("Expect", CONTINUE).lower() != CONTINUE:
            # aiohttp would answer before any middleware, and fails with bytes that are not UTF-8.
            return self.refuse(417)
        return await self._handler(request)


class Connection(web.RequestHandler):
    """Counts malformed requests instead of logging a traceback for each, and never outlives the task that serves it."""

    def __init__(self, server: ConnectionServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            logger=log,
            access_log=None,  # type: ignore[arg-type]  # aiohttp itself passes None for "no log"
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,  # a body with a false Content-Encoding is the handler's business
        )
        self._parser = _Parser(self._parser)  # type: ignore[assignment]
        self._server = server
        self._wire: asyncio.Transport | None = None
        self._cut_off: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = self.transport
        found = transport.get_extra_info("socket")
        if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
            # The kernel sends what is buffered after the close. This ends it for a client that stopped reading.
            with contextlib.suppress(OSError, AttributeError):
                milliseconds = int(self._server.write_seconds * 1000)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wire = None
        self._stop_clock()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_clock()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_clock()

    async def start(self) -> None:
        """Serve request after request. The connection is closed when this ends, for whatever reason."""
        try:
            await super().start()
        except Exception as error:  # noqa: BLE001  protects the log from what a client can repeat
            self._server.complaints.warn("A connection failed", self.peername, error)
        finally:
            if self._wire is not None:
                self._wire.close()  # sends what is buffered before
                self._start_clock()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError):
            status = 505 if exc.code == 505 else 400
            self._server.count_malformed(status)
        else:
            status = 500
            self._server.complaints.warn("A request failed", self._server.proxies.client_of(request), exc)
        if request.writer.output_size > 0:
            raise ConnectionError("The response has begun: another one cannot follow.")
        return self._server.refuse(status)

    def log_exception(self, *args: Any, exc_info: Any = None, **more: Any) -> None:
        """aiohttp calls this when it gives up a connection, for example after a broken body."""
        if isinstance(exc_info, _BROKEN):
            self._server.count_malformed(400)
        else:
            self._server.complaints.warn("A connection failed", self.peername, exc_info)

    def _start_clock(self) -> None:
        if self._cut_off is None and self._wire is not None:
            self._cut_off = self._loop.call_later(self._server.write_seconds, self._wire.abort)

    def _stop_clock(self) -> None:
        if self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None


class _Parser:
    """aiohttp's parser, except that it raises only errors which aiohttp answers with a status."""

    def __init__(self, parser: Any) -> None:
        self._feed = parser.feed_data
        self.pause_reading = parser.pause_reading
        self.message_consumed = parser.message_consumed
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> Any:
        try:
            return self._feed(data)
        except Exception as error:
            # aiohttp catches only its own errors; after others the event loop closes the connection without an answer.
            raise _as_malformed(error) from error


def _as_malformed(error: Exception) -> HttpProcessingError:
    if not isinstance(error, HttpProcessingError):
        return BadHttpMessage(str(error))
    return _unsupported(error.message) if error.message.startswith(_OTHER_VERSIONS) else error


def _unsupported(message: str) -> HttpProcessingError:
    return HttpProcessingError(code=505, message=message)
