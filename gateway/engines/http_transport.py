"""The log transport that needs no engine: posted batches wait here for the consumer."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Sequence

from builder.protocol.calls import KafkaTarget
from builder.protocol.lines import LineBatch
from gateway.background import wait_until
from gateway.errors import Invalid, Unavailable

CAPACITY_BYTES = 32 * 1024 * 1024
COMMIT_SECONDS = 20.0


@dataclasses.dataclass(slots=True, eq=False)
class _Parcel:
    """A batch and the sender that waits for its commit."""

    batch: LineBatch
    stored: asyncio.Future[None]
    size: int


class HttpLogTransport:
    """A bounded queue in memory. It may be lost at any time: a sender keeps its batch until `send` returns."""

    for_builders: KafkaTarget | None = None
    late_lines_seconds = 0.0

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES, commit_seconds: float = COMMIT_SECONDS) -> None:
        self._capacity_bytes = capacity_bytes
        self._commit_seconds = commit_seconds
        self._waiting: collections.deque[_Parcel] = collections.deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._is_subscribed = False

    async def examine(self) -> str:
        return "builders post their lines to the builders' API."

    def is_behind(self) -> bool:
        """Never: a sender gets its answer only after its lines are stored."""
        return False

    async def send(self, batch: LineBatch) -> None:
        """Returns once the batch is stored. Raises Unavailable (send it again) or Invalid (it can never be stored)."""
        parcel = _Parcel(batch, asyncio.get_running_loop().create_future(), _size_of(batch))
        if self._waiting and self._size + parcel.size > self._capacity_bytes:
            raise Unavailable("Too many log lines are waiting to be stored. Send these again later.")
        self._put(parcel)
        try:
            async with asyncio.timeout(self._commit_seconds):
                await parcel.stored
        except TimeoutError as error:
            raise Unavailable("The log store did not take the lines in time. Send them again.") from error
        finally:
            # A sender that gave up sends the batch again: keeping this one too would fill the queue during an outage.
            self._drop(parcel)

    @contextlib.asynccontextmanager
    async def subscribe(self) -> AsyncIterator[HttpLogRecords]:
        """One subscription at a time. Batches that it fetched and did not commit return to the head of the queue."""
        if self._is_subscribed:
            raise RuntimeError("The log transport allows one consumer per process.")
        self._is_subscribed = True
        records = HttpLogRecords(self)
        try:
            yield records
        finally:
            self._is_subscribed = False
            for parcel in reversed(records.uncommitted):
                if not parcel.stored.done():
                    self._put(parcel, at_head=True)

    async def take(self, limit: int, timeout_seconds: float) -> list[_Parcel]:
        """The waiting parcels, oldest first. Empty if none came in time."""
        if not self._waiting:
            self._arrived.clear()
            await wait_until(self._arrived, timeout_seconds)
        taken = list(itertools.islice(self._waiting, limit))
        for parcel in taken:
            self._drop(parcel)
        return taken

    def _put(self, parcel: _Parcel, *, at_head: bool = False) -> None:
        (self._waiting.appendleft if at_head else self._waiting.append)(parcel)
        self._size += parcel.size
        self._arrived.set()

    def _drop(self, parcel: _Parcel) -> None:
        with contextlib.suppress(ValueError):
            self._waiting.remove(parcel)
            self._size -= parcel.size


class HttpLogRecords:
    """What one subscription has fetched."""

    def __init__(self, transport: HttpLogTransport) -> None:
        self._transport = transport
        self.uncommitted: list[_Parcel] = []

    async def fetch(self, limit: int, timeout_seconds: float) -> Sequence[LineBatch]:
        parcels = await self._transport.take(limit, timeout_seconds)
        self.uncommitted.extend(parcels)
        return [parcel.batch for parcel in parcels]

    async def commit(self) -> None:
        for parcel in self.uncommitted:
            if not parcel.stored.done():
                parcel.stored.set_result(None)
        self.uncommitted.clear()

    async def put_aside(self, batch: LineBatch, reason: str) -> None:
        """Nothing is kept here: the senders get the reason as their answer."""
        for parcel in self.uncommitted:
            if parcel.batch is batch and not parcel.stored.done():
                parcel.stored.set_exception(Invalid(reason))


def _size_of(batch: LineBatch) -> int:
    return sum(len(line.text) + 100 for line in batch.lines)
