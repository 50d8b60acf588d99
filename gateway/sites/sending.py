"""Puts a reply on the wire: within a time limit for each piece, whole or visibly cut off."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.errors import Unavailable
from gateway.sites.complaints import Complaints
from gateway.sites.streams import StoredBytes

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024
"""A reader that takes less than this within the time limit is cut off."""
SERVER = "buildspace"


@dataclasses.dataclass(slots=True)
class Reply:
    """`body` is bytes in memory, or an open object of which `length` bytes are sent; None where there is none to send
    (HEAD, 304): Content-Length is among the headers then, if it belongs there."""

    status: int
    headers: dict[str, str]
    body: bytes | StoredBytes | None = None
    length: int = 0
    closes: bool = False

    async def close(self) -> None:
        if isinstance(self.body, StoredBytes):
            await self.body.close()


class Sender:
    def __init__(self, write_seconds: float) -> None:
        self._write_seconds = write_seconds
        self._complaints = Complaints(log)

    async def send(self, request: web.BaseRequest, reply: Reply) -> tuple[web.StreamResponse, int]:
        """The response, finished, and how many bytes of a body were sent. Closes the reply.

        A body that cannot be sent to its end ends with the connection, so no client takes it for whole.
        """
        response = _response_to(reply)
        sent = 0
        try:
            await self._in_time(response.prepare(request))
            async for piece in _pieces(reply):
                await self._in_time(response.write(piece))
                sent += len(piece)
            await self._in_time(response.write_eof())
        except ConnectionError:
            _cut_off(request, response)
        except TimeoutError:
            self._complaints.warn("A client took too long", request.remote)
            _cut_off(request, response)
        except Unavailable as error:
            self._complaints.warn("A download was cut off", error)
            _cut_off(request, response)
        except BaseException:
            _cut_off(request, response)
            raise
        finally:
            await reply.close()
        return response, sent or (len(reply.body) if isinstance(reply.body, bytes) else 0)

    async def _in_time(self, step: object) -> None:
        async with asyncio.timeout(self._write_seconds):
            await step  # type: ignore[misc]


def _response_to(reply: Reply) -> web.StreamResponse:
    headers = {**reply.headers, "Server": SERVER}
    if reply.body is None or (isinstance(reply.body, bytes) and len(reply.body) <= PIECE_BYTES):
        response: web.StreamResponse = web.Response(status=reply.status, headers=headers, body=reply.body)
    else:
        response = web.StreamResponse(status=reply.status, headers=headers)
    if reply.closes:
        response.force_close()
    return response
