"""The protocols that the engines implement (docs/architecture.md). No other module asks which engine is configured."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from builder.protocol.calls import KafkaTarget
from builder.protocol.lines import LineBatch
from gateway.models.log import LogLine, LogPosition


class LogStore(Protocol):
    """Stores line batches. Appending a batch twice is harmless; a read never returns a line twice."""

    async def append(self, batches: Sequence[LineBatch]) -> None:
        """Store all batches, or raise Unavailable: some may be stored then, so append all of them again."""

    async def read(self, deployment_id: uuid.UUID, after: LogPosition, limit: int) -> list[LogLine]:
        """At most `limit` lines after `after`, ordered by attempt and seq. Skips gaps."""

    async def missing(self, deployment_id: uuid.UUID, attempt: int, last_seq: int) -> list[tuple[int, int]]:
        """The ranges [first, last] of 1..last_seq that are not stored, in order."""

    async def compact(self, deployment_id: uuid.UUID) -> int:
        """Store an ended log more compactly, if possible. Reads return the same. Returns how many rows it saved."""

    async def forget(self, deployment_ids: Collection[uuid.UUID]) -> None:
        """Delete the logs of these deployments, which have ended: at once, or when the store rewrites its files."""

    async def drop_before(self, day: datetime.date) -> int:
        """Delete the batches received before that UTC day. Returns how many partitions it dropped."""

    async def check(self) -> None:
        """One cheap call that proves that the store works. Raises Unavailable with the sentence for `/ready`."""

    async def examine(self) -> str:
        """What the doctor says of it, after trying all that is used and leaving it as it was.

        Raises ConfigError or Unavailable with what to do.
        """


class LogRecords(Protocol):
    """A subscription to the log transport."""

    async def fetch(self, limit: int, timeout_seconds: float) -> Sequence[LineBatch]:
        """Waiting batches, at most `limit`. Empty if none came in time."""

    async def commit(self) -> None:
        """The fetched batches are stored: they are not handed out again, and their senders are answered."""

    async def put_aside(self, batch: LineBatch, reason: str) -> None:
        """This fetched batch can never be stored: tell its sender, or keep it where a person finds it. Then commit."""


class LogTransport(Protocol):
    """Brings line batches from the builders to the consumer."""

    for_builders: KafkaTarget | None
    """Where builders send their lines. None: they post them to the builders' API."""
    late_lines_seconds: float
    """How long a builder may still deliver unsent lines after its build has ended."""

    async def send(self, batch: LineBatch) -> None:
        """Accept a posted batch; return once it can't be lost. Raises Unavailable (send it again) or Invalid."""

    def is_behind(self) -> bool:
        """Whether lines that were sent may not be stored yet. No log is declared incomplete while this is true."""

    def subscribe(self) -> AbstractAsyncContextManager[LogRecords]:
        """Batches that were fetched but not committed when the block is left are handed out again."""

    async def examine(self) -> str:
        """What the doctor says of it, having sent and consumed nothing.

        Raises ConfigError or Unavailable with what to do.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`etag` is opaque; `modified_at` is when the object was last written."""

    key: str
    size: int
    modified_at: datetime.datetime
    etag: str = ""


def ignore(key: str) -> None:
    """Does nothing with the keys that are skipped."""


class ObjectReader(Protocol):
    """An open object: its whole size, and the chosen bytes once, in order, in pieces of at most 256 KiB."""

    info: ObjectInfo

    def chunks(self) -> AsyncIterator[bytes]: ...


class ObjectStore(Protocol):
    """Blobs and releases by key. Keys are `/`-separated, relative, without `.` or `..` segments.

    Raises NotFound for a key that is not stored, and Unavailable for a store that is away.
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
        """Store exactly `size` bytes; readers see nothing or all. Raises Invalid, storing nothing, for a wrong size or
        digest.

        The content type is stored if the store has such types. Raises Conflict if the store cannot hold this key beside
        the others.
        """

    async def copy(self, source: str, target: str, *, size: int, content_type: str) -> None:
        """Store a copy of `source`, which has this size, under `target`, with this type if the store has types."""

    def open(self, key: str, start: int = 0, length: int | None = None) -> AbstractAsyncContextManager[ObjectReader]:
        """Read `length` bytes from `start` (to the end by default)."""

    async def exists(self, key: str) -> bool: ...

    def list(self, prefix: str, pass_over: Callable[[str], None] = ignore) -> AsyncIterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in no order. `pass_over` gets each file name that is no key."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete these keys. A key that is not stored is not an error."""

    async def tidy(self) -> int:
        """Remove what interrupted puts left behind long ago. Returns how many there were."""

    async def check(self) -> None:
        """One cheap call that proves that the store works. Raises Unavailable with the sentence for `/ready`."""

    async def examine(self) -> str:
        """What the doctor says of it, after trying all that is used and leaving it as it was.

        Raises ConfigError or Unavailable with what to do.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class LaunchOrder:
    """Everything that a launcher needs to start one attempt. `token` is the build token of this attempt alone."""

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
    """Launchers with the same name share their builders: each can find and stop what another started."""
    needs_sandbox: bool
    """Whether builders run on the gateway's machine, so that a sandbox must be chosen before a build may run."""
    start_seconds: float
    """How long, beside the lease, a builder may take to its first heartbeat: to fetch an image or find a machine."""

    async def launch(self, order: LaunchOrder) -> str:
        """Start a builder, or find the one that this order started before. Returns its handle. Raises LaunchRefused."""

    async def find(self, handles: Sequence[str]) -> dict[str, BuilderState]:
        """GONE only if the builder certainly does not run. Builders whose state cannot be found out are left out.

        Raises Unavailable if the launcher does not answer.
        """

    async def stop(self, handle: str, reason: str) -> None:
        """End the builder and all its children soon. One that is gone is not an error."""

    async def tidy(self) -> None:
        """Remove what ended builders have left, which may take long: a job calls it, and no launch or stop waits."""

    async def last_words(self, handle: str) -> str:
        """Why a builder that is gone ended badly, as far as can be found out. Empty: unknown."""

    async def check(self) -> None:
        """One cheap call: can builders be started? Raises Unavailable with the sentence for `/ready`."""

    async def examine(self) -> str:
        """What the doctor says of it, having started no builder.

        Raises ConfigError or Unavailable with what to do.
        """

    async def close(self) -> None:
        """The gateway stops: end the builders that only it can find. Those that any gateway can find continue."""
