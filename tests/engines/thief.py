"""A program that listens where the gateway should: it keeps each byte that it hears, and answers as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable

Answer = Callable[[bytes], bytes]


class Thief:
    """`heard`: what came over each connection. Looks like a builders' API to whatever starts a builder."""

    def __init__(self, answer: Answer, deployment_id: uuid.UUID) -> None:
        self.heard: list[bytes] = []
        self.deployment_id = deployment_id
        self.attempt = 1
        self.port = 0
        self._answer = answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.heard)
        self.heard.append(b"")
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                self.heard[number] += piece
                writer.write(self._answer(piece))
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening_thief(
    answer: Answer, port: int = 0, deployment_id: uuid.UUID | None = None
) -> AsyncIterator[Thief]:
    thief = Thief(answer, deployment_id or uuid.uuid4())
    server = await asyncio.start_server(thief.serve, "127.0.0.1", port)
    thief.port = server.sockets[0].getsockname()[1]
    try:
        yield thief
    finally:
        server.close()
