"""`GET /logs/{id}`: the log of a deployment, whole or from a cursor on, as JSON or as text. Memory stays bounded."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import web

from builder.protocol.lines import MAX_ATTEMPT
from gateway.access.guard import ACTOR
from gateway.errors import Invalid, NotFound, Unavailable
from gateway.models.actor import Actor
from gateway.models.deployment import Deployment
from gateway.models.log import LogLine, LogPosition
from gateway.roles import LogStore
from gateway.routes.answers import iso_of_milliseconds
from gateway.routes.compression import compress
from gateway.routes.requests import MAX_LOG_PAGE, read_deployment_id, read_limit, read_log_cursor
from gateway.services import SERVICES, Services

log = logging.getLogger(__name__)

READ_LINES = 1000
READ_SECONDS = 30.0
WRITE_SECONDS = 60.0
"""A client that accepts no bytes for this long is gone, or makes the gateway hold memory on purpose."""


@dataclasses.dataclass(frozen=True, slots=True)
class LogOwner:
    """The deployment of a log. `attempt`: its newest one; `is_decided`: no line will follow."""

    deployment_id: uuid.UUID
    attempt: int
    name: str
    is_decided: bool = False
    is_complete: bool = False
    missing: tuple[tuple[int, int], ...] = ()
    last_seq: int | None = None
    """How many lines its builder reported. None: no report."""

    @classmethod
    def of(cls, deployment: Deployment) -> LogOwner:
        is_decided = deployment.status.is_final and deployment.log_complete is not None
        return cls(
            deployment_id=deployment.id,
            attempt=deployment.attempt,
            name=f"{deployment.project_slug}-{deployment.number}",
            is_decided=is_decided,
            is_complete=is_decided and bool(deployment.log_complete),
            missing=tuple(deployment.log_missing) if is_decided else (),
            last_seq=deployment.last_seq if is_decided else None,
        )


@dataclasses.dataclass(slots=True)
class LogPage:
    """The progress of reading. `is_end`: no line follows now; `is_final`: no line will ever follow.

    `gone`: ranges of a complete log that the store no longer has, because they were too old or are in another store.
    """

    position: LogPosition
    is_end: bool = False
    is_final: bool = False
    gone: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def move(self, lines: Sequence[LogLine], owner: LogOwner) -> None:
        """Continue behind these lines."""
        for line in lines:
            seq = self.position.seq if self.position.attempt == line.attempt else 0
            if line.attempt == owner.attempt and owner.is_complete and line.seq > seq + 1:
                self.gone.append((seq + 1, line.seq - 1))
            self.position = LogPosition(line.attempt, line.seq)

    def end(self, owner: LogOwner) -> None:
        """Note that no line follows."""
        self.is_end, self.is_final = True, owner.is_decided
        reached = self.position.seq if self.position.attempt == owner.attempt else 0
        if owner.is_complete and owner.last_seq is not None and reached < owner.last_seq:
            self.gone.append((reached + 1, owner.last_seq))


async def show_log(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    deployment_id = read_deployment_id(request.match_info["id"])
    after = read_log_cursor(request.query.get("after", ""))
    limit = read_limit(request.query, 1000, MAX_LOG_PAGE) if request.query.keys() & {"after", "limit"} else None
    is_text, has_times = _wants_text(request), _wants_times(request)
    # The deployment is read first: its report on the log's end must not be newer than the lines.
    owner = await find_owner(services, request[ACTOR], deployment_id)
    page = LogPage(after)
    lines = read_lines(services.logs, owner, page, limit)
    first: list[LogLine] = await anext(lines, [])  # raises while the status can still say that an engine is away
    pieces = functools.partial(_as_text, has_times) if is_text else _as_json
    response = _text_response(owner) if is_text else web.StreamResponse()
    if not is_text:
        response.content_type = "application/json"
    compress(request, response, sum(len(line.text) for line in first))
    await response.prepare(request)
    if request.method != "HEAD":
        await _send(request, response, pieces(owner, page, _chained(first, lines)), services.stopping)
    return response


async def read_lines(logs: LogStore, owner: LogOwner, page: LogPage, limit: int | None) -> AsyncIterator[list[LogLine]]:
    """The lines after `page.position`, in consecutive portions. `page` is updated with each portion.

    While the log has not ended, a gap ends the page, because the missing line may still come. In earlier attempts, and
    once the end is decided, gaps are skipped.
    """
    left = limit
    while left is None or left > 0:
        wanted = READ_LINES if left is None else min(left, READ_LINES)
        found = await _read(logs, owner.deployment_id, page.position, wanted)
        portion = _contiguous(found, page.position, owner)
        if portion:
            page.move(portion, owner)
            left = None if left is None else left - len(portion)
            yield portion
        if len(portion) < wanted:
            page.end(owner)
            return
    if not await _read(logs, owner.deployment_id, page.position, 1):
        page.end(owner)


async def is_stored(logs: LogStore, deployment_id: uuid.UUID, position: LogPosition) -> bool:
    """Whether the position is the beginning of the log or directly behind one of its lines."""
    if position == LogPosition():
        return True
    before = LogPosition(position.attempt, max(position.seq - 1, 0))
    found = await _read(logs, deployment_id, before, 1)
    return [LogPosition(line.attempt, line.seq) for line in found] == [position]


def page_end(owner: LogOwner, page: LogPage) -> dict[str, object]:
    """What a page says after its lines."""
    return {
        "ended": page.is_final,
        "complete": owner.is_complete and not page.gone,
        "missing": [list(span) for span in owner.missing or page.gone],
        "next": f"{page.position.attempt}.{page.position.seq}",
    }


def line_json(line: LogLine) -> dict[str, object]:
    # Not dumped by LogLineAnswer, which takes 60 % longer: a log may have hundreds of thousands of lines.
    return {
        "event_id": str(uuid.uuid5(line.deployment_id, f"{line.attempt}/{line.seq}")),
        "deployment_id": str(line.deployment_id),
        "log": line.text,
        "timestamp": iso_of_milliseconds(line.timestamp),
        "attempt": line.attempt,
        "seq": line.seq,
        "stream": line.stream,
        "step": line.step,
    }


def _wants_text(request: web.Request) -> bool:
    wanted = request.query.get("format", "json")
    if wanted not in ("json", "text"):
        sentence = "format must be json or text."
        raise Invalid(sentence, {"format": sentence})
    return wanted == "text"


def _wants_times(request: web.Request) -> bool:
    wanted = request.query.get("times", "0")
    if wanted not in ("0", "1"):
        sentence = "times must be 0 or 1."
        raise Invalid(sentence, {"times": sentence})
    return wanted == "1"


async def find_owner(services: Services, actor: Actor, deployment_id: uuid.UUID) -> LogOwner:
    """Raises NotFound."""
    try:
        return LogOwner.of(await services.deployments.get(actor, deployment_id))
    except NotFound:
        is_everyones = actor.owner_id is None and services.config.kafka.accept_unsigned
        if not is_everyones or not await _read(services.logs, deployment_id, LogPosition(), 1):
            raise
        # Another system's build: nothing reports its end, and its numbers have gaps (transports/kafka_reading.py).
        return LogOwner(deployment_id, attempt=MAX_ATTEMPT + 1, name=str(deployment_id))


def _contiguous(lines: list[LogLine], position: LogPosition, owner: LogOwner) -> list[LogLine]:
    """The lines up to the first gap that may still be filled, or up to the end that the builder reported."""
    attempt, seq = position.attempt, position.seq
    for place, line in enumerate(lines):
        if line.attempt != attempt:
            attempt, seq = line.attempt, 0
        if line.attempt > owner.attempt:
            return lines[:place]  # a newer attempt began after the deployment was read: the next call shows it
        if line.attempt == owner.attempt:
            if line.seq != seq + 1 and not owner.is_decided:
                return lines[:place]
            if owner.last_seq is not None and line.seq > owner.last_seq:
                return lines[:place]
        seq = line.seq
    return lines


async def _read(logs: LogStore, deployment_id: uuid.UUID, after: LogPosition, limit: int) -> list[LogLine]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await logs.read(deployment_id, after, limit)
    except TimeoutError as error:
        raise Unavailable("The log store did not answer in time.") from error


async def _chained(first: list[LogLine], rest: AsyncIterator[list[LogLine]]) -> AsyncIterator[list[LogLine]]:
    if first:
        yield first
    async for portion in rest:
        yield portion


async def _as_json(owner: LogOwner, page: LogPage, portions: AsyncIterator[list[LogLine]]) -> AsyncIterator[bytes]:
    yield b'{"rawLogs": ['
    separator = ""
    try:
        async for portion in portions:
            yield await asyncio.to_thread(_encode, separator, portion)
            separator = ", "
    except Unavailable as error:
        # The status is sent, so an outage ends the page here; `next` tells where to continue.
        log.warning("log page cut short: %s", error)
    yield ("], " + json.dumps(page_end(owner, page))[1:]).encode()


def _encode(separator: str, lines: list[LogLine]) -> bytes:
    text = ", ".join(json.dumps(line_json(line), ensure_ascii=False) for line in lines)
    return (separator + text).encode("utf-8", "replace")


async def _as_text(
    has_times: bool, owner: LogOwner, page: LogPage, portions: AsyncIterator[list[LogLine]]
) -> AsyncIterator[bytes]:
    """An outage cuts the answer off, because the text itself cannot say that it is incomplete."""
    async for portion in portions:
        yield "".join(_text_line(line, has_times) for line in portion).encode("utf-8", "replace")


def _text_line(line: LogLine, has_time: bool) -> str:
    return f"{iso_of_milliseconds(line.timestamp)} {line.text}\n" if has_time else f"{line.text}\n"


def _text_response(owner: LogOwner) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "text/plain"
    response.charset = "utf-8"
    response.headers["Content-Disposition"] = f'inline; filename="{owner.name}.log"'
    return response


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[bytes],
    is_stopping: Callable[[], bool],
) -> None:
    """A response that can't be finished is cut off, so that no client takes it for complete."""
    try:
        async for piece in pieces:
            if is_stopping():
                raise ConnectionResetError("The gateway stops.")
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write(piece)
    except (ConnectionError, TimeoutError, Unavailable) as error:
        log.info("log page cut off: %s", error or "the caller reads too slowly")
        cut_off(request, response)
    except Exception:  # the status is sent: an error can only be logged
        log.exception("log page failed")
        cut_off(request, response)


def cut_off(request: web.Request, response: web.StreamResponse) -> None:
    response.force_close()
    if request.transport is not None:
        request.transport.abort()
