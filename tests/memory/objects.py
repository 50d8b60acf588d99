"""An object store in memory. tests/stores/test_object_store.py holds it to what the real ones promise."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable

from gateway.engines.directory.files import check_key
from gateway.errors import Invalid, NotFound
from gateway.roles import ObjectInfo

PIECE_BYTES = 256 * 1024


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class MemoryReader:
    def __init__(self, info: ObjectInfo, body: bytes) -> None:
        self.info = info
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PIECE_BYTES):
            yield self._body[start : start + PIECE_BYTES]


class MemoryObjects:
    """Objects with the time of their writing. A subclass may let `_call`, which comes before each call, raise."""

    def __init__(self, clock: Callable[[], datetime.datetime] = now) -> None:
        self.bodies: dict[str, bytes] = {}
        self.written: dict[str, datetime.datetime] = {}
        self._clock = clock

    def keep(self, key: str, body: bytes) -> None:
        self.bodies[key] = body
        self.written[key] = self._clock()

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str | None = None, content_type: str = ""
    ) -> None:
        self._call()
        check_key(key)
        body = b"".join([chunk async for chunk in chunks])
        if len(body) != size or sha256 not in (None, hashlib.sha256(body).hexdigest()):
            raise Invalid("The bytes have another size or digest than was announced.")
        self.keep(key, body)

    async def copy(self, source: str, target: str, *, size: int, content_type: str = "") -> None:
        self._call()
        check_key(target)
        self.keep(target, self._body(source))

    @contextlib.asynccontextmanager
    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[MemoryReader]:
        self._call()
        body = self._body(key)
        yield MemoryReader(self._info(key), body[start:] if length is None else body[start : start + length])

    async def exists(self, key: str) -> bool:
        self._call()
        return key in self.bodies

    async def list(self, prefix: str, pass_over: Callable[[str], None] | None = None) -> AsyncIterator[ObjectInfo]:
        for key in [key for key in self.bodies if key.startswith(prefix)]:
            self._call()
            yield self._info(key)

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._call()
            self.bodies.pop(key, None)

    async def tidy(self) -> int:
        return 0

    async def check(self) -> None:
        self._call()

    def _call(self) -> None:
        """Nothing is in the way."""

    def _body(self, key: str) -> bytes:
        if key not in self.bodies:
            raise NotFound("There is no such object.")
        return self.bodies[key]

    def _info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.bodies[key]), self.written[key])
