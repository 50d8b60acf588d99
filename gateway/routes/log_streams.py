"""`GET /logs/{id}/stream`: the lines of a log as server-sent events, each once, also over reconnects and gateways.

https://html.spec.whatwg.org/multipage/server-sent-events.html. The id of an event is the cursor behind its line. A
client sends it as `Last-Event-ID` when it connects again, to whichever gateway.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

from aiohttp import web

from gateway.access.guard import ACTOR
from gateway.background import wait_until_any
from gateway.errors import NotFound, TooMany, Unavailable
from gateway.models.log import LogLine, LogPosition
from gateway.roles import LogStore
from gateway.routes.logs import LogOwner, LogPage, cut_off, find_owner, is_stored, line_json, page_end, read_lines
from gateway.routes.requests import read_deployment_id, read_log_cursor
from gateway.services import SERVICES

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
WRITE_SECONDS = 30.0
"""A client that accepts no bytes for this long is disconnected. It may continue at its cursor."""
SOON_SECONDS, SELDOM_SECONDS = 0.25, 2.0
"""How often a followed log is read: soon after lines came, seldom while none come."""
KEPT_LINES = 2000
"""How many of the last lines a followed log keeps for the clients that are behind. Others read the store."""
MAX_STREAMS, MAX_STREAMS_OF_LOG = 1000, 64
"""How many streams a gateway has open, in all and of one log. Each is a connection, and may be a reading of its own."""
RETRY = b"retry: 2000\n\n"
RETRY_SECONDS = 5.0
HEARTBEAT = b": nothing new\n\n"

FindOwner = Callable[[], Awaitable[LogOwner]]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    position: LogPosition
    text: bytes


class FollowedLog:
    """The end of one log. One client reads the store for all that follow it, while the others wait for its result."""

    def __init__(self, logs: LogStore, position: LogPosition, stopping: asyncio.Event) -> None:
        self.followers = 0
        self.final: bytes | None = None
        """The last event, once no line will follow `position`."""
        self.position = position
        self._logs = logs
        self._stopping = stopping
        self._begin = position
        self._events: collections.deque[Event] = collections.deque()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._delay = SOON_SECONDS

    def knows(self, position: LogPosition) -> bool:
        """Whether the lines after this position, up to `self.position`, are kept here."""
        return position >= self._begin

    def after(self, position: LogPosition) -> list[Event]:
        return [event for event in self._events if event.position > position]

    async def wait(self, find_owner: FindOwner) -> None:
        """Returns soon after something changed, at the latest after some seconds.

        Raises NotFound or Unavailable if this client was the one that read.
        """
        if self._turn.locked():
            await wait_until_any(self._changed, self._stopping, timeout_seconds=SELDOM_SECONDS)
            return
        async with self._turn:
            await wait_until_any(self._stopping, timeout_seconds=self._delay)
            await self._read(find_owner)

    async def _read(self, find_owner: FindOwner) -> None:
        # The deployment is read first: its report on the log's end must not be newer than the lines.
        owner = await find_owner()
        page = LogPage(self.position)
        self._delay = min(1.5 * self._delay, SELDOM_SECONDS)
        async for lines in read_lines(self._logs, owner, page, KEPT_LINES):
            self._keep(await asyncio.to_thread(to_events, lines))
            self.position = page.position
            self._delay = SOON_SECONDS
            self._tell()
        if page.is_final:
            self.final = final_event(owner, page)
            self._tell()

    def _keep(self, events: Iterable[Event]) -> None:
        self._events.extend(events)
        while len(self._events) > KEPT_LINES:
            self._begin = self._events.popleft().position

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class FollowedLogs:
    """The logs that clients of this gateway follow now."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._logs: dict[uuid.UUID, FollowedLog] = {}
        self._streams: collections.Counter[uuid.UUID] = collections.Counter()

    @contextlib.contextmanager
    def admit(self, deployment_id: uuid.UUID) -> Iterator[None]:
        """Counts a stream while it is open. Raises TooMany."""
        if self._streams[deployment_id] >= MAX_STREAMS_OF_LOG or self._streams.total() >= MAX_STREAMS:
            raise TooMany("Too many log streams are open. GET /logs/{id} shows the log in pages.", RETRY_SECONDS)
        self._streams[deployment_id] += 1
        try:
            yield
        finally:
            self._streams -= collections.Counter([deployment_id])  # drops what reaches 0

    @contextlib.contextmanager
    def follow(
        self, logs: LogStore, deployment_id: uuid.UUID, position: LogPosition, *, is_real: bool
    ) -> Iterator[FollowedLog]:
        """`position`: where the client is. The shared reading begins at the first one that `is_real`: in the store.

        A client may name any position, so one that is not in the store must not decide what other clients read. Such a
        client has a reading of its own unless the log is already followed, and so has one before the lines kept here.
        """
        own = FollowedLog(logs, position, self.stopping)
        followed = self._logs.setdefault(deployment_id, own) if is_real else self._logs.get(deployment_id, own)
        if not followed.knows(position):
            followed = own
        followed.followers += 1
        try:
            yield followed
        finally:
            followed.followers -= 1
            if not followed.followers and self._logs.get(deployment_id) is followed:
                del self._logs[deployment_id]

    async def end(self, app: web.Application) -> None:
        """Ends all streams, because an open one would delay the stop."""
        self.stopping.set()


FOLLOWED = web.AppKey("followed", FollowedLogs)


def setup_streams(app: web.Application) -> None:
    app[FOLLOWED] = FollowedLogs()
    app.on_shutdown.append(app[FOLLOWED].end)


async def stream_log(request: web.Request) -> web.StreamResponse:
    services, actor = request.app[SERVICES], request[ACTOR]
    deployment_id = read_deployment_id(request.match_info["id"])
    position = read_log_cursor(request.headers.get("Last-Event-ID") or request.query.get("after", ""))

    async def find() -> LogOwner:
        return await find_owner(services, actor, deployment_id)

    with request.app[FOLLOWED].admit(deployment_id):
        events = read_events(request.app[FOLLOWED], services.logs, deployment_id, position, find)
        first = await anext(events)  # raises while the status can still say so
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        if request.method != "HEAD":
            await _send(request, response, _chained(first, events))
    return response


def to_events(lines: Iterable[LogLine]) -> list[Event]:
    return [_to_event(line) for line in lines]


def _to_event(line: LogLine) -> Event:
    text = json.dumps(line_json(line), ensure_ascii=False)
    position = LogPosition(line.attempt, line.seq)
    return Event(position, f"id: {line.attempt}.{line.seq}\ndata: {text}\n\n".encode("utf-8", "replace"))


def final_event(owner: LogOwner, page: LogPage) -> bytes:
    end = page_end(owner, page)
    return f"event: end\nid: {end['next']}\ndata: {json.dumps(end)}\n\n".encode()


async def read_events(
    followed: FollowedLogs, logs: LogStore, deployment_id: uuid.UUID, position: LogPosition, find: FindOwner
) -> AsyncIterator[bytes]:
    """Pieces of the stream; an empty one where nothing is new."""
    page = LogPage(position)
    while True:
        begin, owner = page.position, await find()
        async for piece in _stored(logs, owner, page):
            yield piece
        yield RETRY
        if page.is_final:
            yield final_event(owner, page)
            return
        is_real = page.position != begin or await is_stored(logs, deployment_id, page.position)
        with followed.follow(logs, deployment_id, page.position, is_real=is_real) as tail:
            async for piece in _followed(tail, page, find, followed.stopping):
                yield piece
            if followed.stopping.is_set() or (tail.final is not None and page.position >= tail.position):
                return


async def _followed(tail: FollowedLog, page: LogPage, find: FindOwner, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """Pieces until the log has ended, the gateway stops, or the client is so far behind that it must read the store."""
    while tail.knows(page.position) and not stopping.is_set():
        if events := tail.after(page.position):
            page.position = events[-1].position
            yield b"".join(event.text for event in events)
        elif tail.final is not None:
            yield tail.final
            return
        else:
            await tail.wait(find)
            yield b""


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _stored(logs: LogStore, owner: LogOwner, page: LogPage) -> AsyncIterator[bytes]:
    """What is stored after the page's position. Moves it."""
    async for lines in read_lines(logs, owner, page, None):
        yield b"".join(event.text for event in await asyncio.to_thread(to_events, lines))


async def _send(request: web.Request, response: web.StreamResponse, events: AsyncIterator[bytes]) -> None:
    """A stream that can't go on just ends without the event `end`: the client connects again, at its cursor."""
    loop = asyncio.get_running_loop()
    wrote_at = loop.time()
    try:
        async for piece in events:
            if not piece and loop.time() - wrote_at < HEARTBEAT_SECONDS:
                continue
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write(piece or HEARTBEAT)
            wrote_at = loop.time()
    except (NotFound, Unavailable) as error:
        log.info("log stream ended early: %s", error)
    except (ConnectionError, TimeoutError) as error:
        log.info("log stream broken: %s", error or "the client reads too slowly")
        cut_off(request, response)
    except Exception:  # the status is sent: an error can only be logged
        log.exception("log stream failed")
        cut_off(request, response)
