"""Sends a reply: each piece within a time limit, the whole visibly cut off if it can't be finished."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable

from aiohttp import web

from gateway.errors import Unavailable
from gateway.sites.streams import StoredBytes
from gateway.wire.clients import TrustedProxies
from gateway.wire.complaints import Complaints
from gateway.wire.connections import SERVER

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024
"""A client that accepts less than this within the time limit is disconnected."""


@dataclasses.dataclass(slots=True)
class Reply:
    """`body`: bytes, or an open object of which `length` bytes are sent. None: nothing is sent (HEAD, 304)."""

    status: int
    headers: dict[str, str]
    body: bytes | StoredBytes | None = None
    length: int = 0
    closes: bool = False

    async def close(self) -> None:
        if isinstance(self.body, StoredBytes):
            await self.body.close()


class Sender:
    def __init__(self, write_seconds: float, proxies: TrustedProxies) -> None:
        self._write_seconds = write_seconds
        self._proxies = proxies
        self._complaints = Complaints(log)

    async def send(self, request: web.BaseRequest, reply: Reply) -> tuple[web.StreamResponse, int]:
        """The finished response, and how many bytes of its body were sent. Closes the reply.

        A body that can't be finished closes the connection, so that no client takes it for complete.
        """
        response, at_once = _response_to(reply)
        sent = 0
        try:
            await self._in_time(response.prepare(request))
            async for piece in _pieces(reply, at_once):
                await self._in_time(response.write(piece))
                sent += len(piece)
            await self._in_time(response.write_eof())
            sent += at_once
        except ConnectionError:
            _cut_off(request, response)
        except TimeoutError:
            self._complaints.warn("A client read too slowly and was cut off", self._proxies.client_of(request))
            _cut_off(request, response)
        except Unavailable as error:
            self._complaints.warn("A download was cut off because its bytes could not be read", error)
            _cut_off(request, response)
        except Exception as error:  # noqa: BLE001  an unforeseen failure for one client must not reach the others
            self._complaints.warn("A response failed", self._proxies.client_of(request), error)
            _cut_off(request, response)
        finally:
            await reply.close()
        return response, sent

    async def _in_time(self, step: Awaitable[object]) -> None:
        async with asyncio.timeout(self._write_seconds):
            await step


def _response_to(reply: Reply) -> tuple[web.StreamResponse, int]:
    """Also returns how many bytes of the body are sent together with the headers: all if they are few, else none."""
    headers = {**reply.headers, "Server": SERVER}
    response: web.StreamResponse
    if reply.body is None or (isinstance(reply.body, bytes) and len(reply.body) <= PIECE_BYTES):
        response = web.Response(status=reply.status, headers=headers, body=reply.body)
    else:
        response = web.StreamResponse(status=reply.status, headers=headers)
    if reply.closes:
        response.force_close()
    at_once = isinstance(response, web.Response) and reply.body is not None
    return response, reply.length if at_once else 0


async def _pieces(reply: Reply, at_once: int) -> AsyncIterator[memoryview]:
    if isinstance(reply.body, StoredBytes):
        async for chunk in reply.body.pieces(reply.length):
            for piece in _cut(chunk):
                yield piece
    elif reply.body and not at_once:
        for piece in _cut(reply.body):
            yield piece


def _cut(chunk: bytes) -> list[memoryview]:
    view = memoryview(chunk)
    return [view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES)]


def _cut_off(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.force_close()
    if request.transport is not None:
        request.transport.abort()  # close() would wait for a client that stopped reading
