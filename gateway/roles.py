"""The protocols behind which the engines stand (docs/architecture.md). Nothing else asks which engine it has."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from builder.protocol.calls import KafkaTarget
from builder.protocol.lines import LineBatch
from gateway.models import LogLine, LogPosition


class LogStore(Protocol):
    """Keeps line batches. Appending a batch twice is harmless; a read never shows a line twice."""

    async def append(self, batches: Sequence[LineBatch]) -> None:
        """Store all batches or raise Unavailable (then: unknown which; append them again)."""

    async def read(self, deployment_id: uuid.UUID, after: LogPosition, limit: int) -> list[LogLine]:
        """At most `limit` lines after `after`, ordered by attempt and seq. Gaps are passed over silently."""

    async def missing(self, deployment_id: uuid.UUID, attempt: int, last_seq: int) -> list[tuple[int, int]]:
        """The ranges [first, last] of 1..last_seq that are not stored, in order."""

    async def compact(self, deployment_id: uuid.UUID) -> int:
        """This log has ended: keep it more tightly, if that helps. Reads show the same. Says how many rows it saved."""

    async def drop_before(self, day: datetime.date) -> int:
        """Forget the batches received before that UTC day. Says how many partitions went."""

    async def check(self) -> None:
        """One cheap call that shows that the store works. Raises Unavailable with the sentence for `/ready`."""


class LogRecords(Protocol):
    """A subscription to the log transport."""

    async def fetch(self, limit: int, timeout_seconds: float) -> Sequence[LineBatch]:
        """Batches that wait, at most `limit`; empty when none came in time."""

    async def commit(self) -> None:
        """What was fetched is stored: never hand it out again, tell its senders."""

    async def put_aside(self, batch: LineBatch, reason: str) -> None:
        """This fetched batch can never be stored: tell its sender, or keep it where a person looks. Then commit."""


class LogTransport(Protocol):
    """Brings line batches from the builders to the consumer."""

    for_builders: KafkaTarget | None
    """Where builders send their lines; None: they post them to the builders' API."""
    late_lines_seconds: float
    """For how long a builder whose build has ended may still bring lines that could not be sent."""

    async def send(self, batch: LineBatch) -> None:
        """Take what a builder posted: return once it can't be lost. Raises Unavailable (send it again) or Invalid."""

    def is_behind(self) -> bool:
        """Whether lines that builders have sent may still wait to be stored. Until then no log is called incomplete."""

    def subscribe(self) -> AbstractAsyncContextManager[LogRecords]:
        """What was fetched and not committed when the block is left will be handed out again."""


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`etag` is opaque; `modified_at` is when the object was last written."""

    key: str
    size: int
    modified_at: datetime.datetime
    etag: str = ""


def ignore(key: str) -> None:
    """For who need not know what is passed over."""


class ObjectReader(Protocol):
    """An open object: its size in whole, and the chosen bytes once, in order, in pieces of at most 256 KiB."""

    info: ObjectInfo

    def chunks(self) -> AsyncIterator[bytes]: ...


class ObjectStore(Protocol):
    """Blobs and releases by key. Keys are `/`-separated, relative, without `.` or `..` segments.

    A key that is not stored raises NotFound, a store that is away Unavailable.
    """

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int,
        sha256: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> None:
        """Store exactly `size` bytes: readers see nothing or all. A wrong size or digest: Invalid, nothing is kept.

        The type is kept where types are. A store that cannot have this key beside its others raises Conflict.
        """

    async def copy(self, source: str, target: str, *, size: int, content_type: str) -> None:
        """Store the object `source`, which has this size, under `target`, too; where types are kept, with this one."""

    def open(self, key: str, start: int = 0, length: int | None = None) -> AbstractAsyncContextManager[ObjectReader]:
        """Read `length` bytes from `start` (to the end by default)."""

    async def exists(self, key: str) -> bool: ...

    def list(self, prefix: str, pass_over: Callable[[str], None] = ignore) -> AsyncIterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in no order. `pass_over` is told what is there and no key."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Forget these keys; one that is not stored is not an error."""

    async def tidy(self) -> int:
        """Remove what puts left that broke off long ago. Says how many they were."""

    async def check(self) -> None:
        """One cheap call that shows that the store works. Raises Unavailable with the sentence for `/ready`."""


@dataclasses.dataclass(frozen=True, slots=True)
class LaunchOrder:
    """All that a launcher needs to start one attempt. `token` opens the builders' API for this attempt alone."""

    deployment_id: uuid.UUID
    attempt: int
    project_slug: str
    git_url: str
    token: str
    builders_url: str


class BuilderState(enum.StrEnum):
    RUNNING = "running"
    GONE = "gone"


class Launcher(Protocol):
    """Starts, finds and stops builders."""

    name: str
    """Who can find and stop the builders that it started: gateways whose launchers have one name share them."""
    needs_sandbox: bool
    """Whether its builders run on the gateway's machine: then a sandbox is chosen before builds may run."""
    start_seconds: float
    """What a builder may take to its first sign of life, beside the lease: to fetch an image, to find a machine."""

    async def launch(self, order: LaunchOrder) -> str:
        """Start a builder, or find the one that this very order started before; its handle. Raises LaunchRefused."""

    async def find(self, handle: str) -> BuilderState:
        """GONE only if it certainly runs no more. Raises Unavailable when it cannot be said."""

    async def stop(self, handle: str, reason: str) -> None:
        """End the builder and all its children, soon. One that is gone is not an error."""

    async def last_words(self, handle: str) -> str:
        """Why a builder that is gone ended badly, as far as can be known. Empty: nobody knows."""

    async def check(self) -> None:
        """One cheap call that shows that builders can be started. Raises Unavailable with the sentence for `/ready`."""

    async def close(self) -> None:
        """The gateway stops: end the builders that belong to it alone; those that any gateway can find go on."""
