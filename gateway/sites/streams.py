"""Bytes on the way from the store to a client: at most one piece in memory, and exactly as many as announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Self

from gateway.errors import NotFound, Unavailable
from gateway.roles import ObjectInfo, ObjectStore

READ_SECONDS = 20.0


class StoredBytes:
    """An open object. Errors of the store are raised by `open`, while another answer can still be sent."""

    def __init__(self, info: ObjectInfo, chunks: AsyncIterator[bytes], first: bytes, stack: AsyncExitStack) -> None:
        self.info = info
        self._chunks = chunks
        self._first = first
        self._stack = stack

    @classmethod
    async def open(cls, objects: ObjectStore, key: str, start: int = 0, length: int | None = None) -> Self:
        """The caller closes it. Raises NotFound and Unavailable."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    reader = await stack.enter_async_context(objects.open(key, start, length))
                    chunks = reader.chunks()
                    first = await anext(chunks, b"")
            except TimeoutError as error:
                raise Unavailable("The store does not answer.") from error
            return cls(reader.info, chunks, first, stack.pop_all())
        raise AssertionError("A store swallowed an error.")

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        """Exactly `length` bytes, once. Raises Unavailable if the store ends earlier."""
        left = length
        chunk, self._first = self._first, b""
        while chunk and left > 0:
            yield chunk[:left]
            left -= len(chunk)
            chunk = await self._next() if left > 0 else b""
        if left > 0:
            raise Unavailable(f"The object {self.info.key} ended {left} bytes too early.")

    async def close(self) -> None:
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()
        await self._stack.aclose()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await anext(self._chunks, b"")
        except TimeoutError as error:
            raise Unavailable("The store does not answer.") from error
        except NotFound as error:
            raise Unavailable(f"The object {self.info.key} went away.") from error
