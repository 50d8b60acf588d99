"""The connection to PostgreSQL: opened when first used, replaced when it broke. Errors are raised in our words."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import asyncpg

from gateway.background import wait_until
from gateway.engines.postgres.postgres_url import check_url, server_of
from gateway.engines.postgres.postgres_words import DRIVER_ERRORS, in_our_words
from gateway.errors import Invalid, Unavailable

CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 10.0
COMMAND_SECONDS = 20.0
LOCK_SECONDS = 300.0
LOCK_POLL_SECONDS = 0.2
LOCK_HEARTBEAT_SECONDS = 15.0
"""Well within `idle_in_transaction_session_timeout`, after which the server releases the lock of a frozen gateway."""
HEARTBEAT_SECONDS = 2.0
HEARTBEAT_ANSWER_SECONDS = 5.0
GATEWAY = "buildspace"
"""The name of a gateway's connections in pg_stat_activity. Commands have another one."""
LIMITS = {"statement_timeout": "15s", "idle_in_transaction_session_timeout": "60s"}
"""The server enforces these, even if this process hangs."""
_SET_LOCAL_LIMITS = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in LIMITS.items())


class Held:
    """An advisory lock, held for as long as its transaction lives."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def check(self) -> None:
        """Raises Unavailable if the lock is lost. Call it right before an action that two gateways must not both do."""
        async with self._turn:
            with in_our_words():
                await self._connection.execute("SELECT 1", timeout=HEARTBEAT_ANSWER_SECONDS)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[Self]:
        """Uses the connection regularly, because the server ends a transaction that is idle for too long."""
        leaving = asyncio.Event()

        async def say_so() -> None:
            with contextlib.suppress(Unavailable):  # the next check raises it
                while not await wait_until(leaving, LOCK_HEARTBEAT_SECONDS):
                    await self.check()

        saying = asyncio.create_task(say_so())
        try:
            yield self
        finally:
            leaving.set()
            await saying


class Database:
    """A pool that connects at the first use and replaces connections that broke.

    Errors that mean that the server is away become Unavailable. Constraint violations pass: the stores turn them into
    words of their own.

    Apart from `listen`, no session state outlives a transaction, so a pooler in transaction mode may stand in between.
    """

    def __init__(
        self, url: str, pool: asyncpg.Pool, size: int, options: dict[str, Any], *, is_pooled: bool, is_embedded: bool
    ) -> None:
        self.url = url
        self.pool = pool
        self.is_pooled = is_pooled
        self.is_embedded = is_embedded
        self._options = options
        # The holder of a lock needs a second connection to work, so locks get at most half of the pool.
        self._lock_places = asyncio.Semaphore(max(1, size // 2))

    async def examine(self) -> str:
        """What the doctor says of it. Raises ConfigError or Unavailable with what to do."""
        from gateway.engines.postgres.postgres_examination import examine_postgres  # which imports this module

        return await examine_postgres(self)

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection, outside of a transaction."""
        connection = await self._take()
        try:
            with in_our_words():
                yield connection
        finally:
            await self._give_back(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection in a transaction, committed at the end of the block, rolled back if it raises."""
        async with self.acquire() as connection, connection.transaction():
            if self.is_pooled:
                await connection.execute(_SET_LOCAL_LIMITS)
            yield connection

    @contextlib.asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[Held]:
        """Holds the lock of this name, exclusively among all gateways. Raises Unavailable after LOCK_SECONDS.

        A waiting call holds no connection, so many waiters for one lock do not block those for others.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            async with self.try_lock(name) as held:
                if held is not None:
                    yield held
                    return
            if time.monotonic() >= deadline:
                raise Unavailable("Another task holds this lock for too long, or postgres.pool_size is too small.")
            await asyncio.sleep(LOCK_POLL_SECONDS)

    @contextlib.asynccontextmanager
    async def try_lock(self, name: str) -> AsyncIterator[Held | None]:
        """As `lock`, without waiting. None if the lock is held elsewhere, or if locks use up their half of the pool."""
        if self._lock_places.locked():
            yield None
            return
        async with self._lock_places, self.transaction() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", name):
                yield None
                return
            async with Held(connection).kept() as held:
                yield held

    async def listen(
        self,
        channel: str,
        on_payload: Callable[[str], None],
        *,
        stopping: asyncio.Event,
        progress: Callable[[], None],
    ) -> None:
        """Pass on notifications, over a connection of its own. A job body: raises if the connection is lost.

        Calls `on_payload("")` after each connect, because notifications may have been missed: everything remembered is
        stale. A pooler delivers no notifications; behind one this only waits for the stop.
        """
        if self.is_pooled:
            progress()
            await stopping.wait()
            return
        connection = await self._connect()
        try:
            with in_our_words():
                await connection.add_listener(channel, lambda *event: on_payload(event[-1]))
                on_payload("")
                while not stopping.is_set():
                    # Only a heartbeat detects a connection whose packets are dropped.
                    await connection.execute("SELECT 1", timeout=HEARTBEAT_ANSWER_SECONDS)
                    progress()
                    await wait_until(stopping, HEARTBEAT_SECONDS)
        finally:
            await _close(connection)

    async def _take(self) -> asyncpg.Connection:
        with in_our_words(connecting=True, server=server_of(self.url)):
            return await self.pool.acquire(timeout=ACQUIRE_SECONDS)

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        # A connection that broke cannot be reset; the pool drops it. The error of the block is the one to raise.
        with contextlib.suppress(*DRIVER_ERRORS):
            await self.pool.release(connection, timeout=CONNECT_SECONDS)

    async def _connect(self) -> asyncpg.Connection:
        with in_our_words(connecting=True, server=server_of(self.url)):
            return await asyncpg.connect(self.url, **self._options)


@contextlib.asynccontextmanager
async def open_pool(
    url: str, size: int, *, is_pooled: bool = False, is_embedded: bool = False, application_name: str = GATEWAY
) -> AsyncIterator[Database]:
    """The database of this URL; nothing is connected yet. Raises ConfigError if it is no such URL.

    `is_pooled`: a pooler in transaction mode stands in between.
    """
    check_url(url)
    size = max(2, size)
    options = _options(application_name, is_pooled)
    pool = asyncpg.create_pool(url, min_size=0, max_size=size, reset=_no_reset if is_pooled else None, **options)
    await pool
    try:
        yield Database(url, pool, size, options, is_pooled=is_pooled, is_embedded=is_embedded)
    finally:
        await _close(pool)


def _options(application_name: str, is_pooled: bool) -> dict[str, Any]:
    """A pooler refuses settings at the start of a connection, and does not support prepared statements."""
    settings = {} if is_pooled else {**LIMITS, "timezone": "UTC"}
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
        "statement_cache_size": 0 if is_pooled else 100,
        "server_settings": {"application_name": application_name, **settings},
    }


async def _no_reset(connection: asyncpg.Connection) -> None:
    """Behind a pooler there is no session state to reset, and the server's session may be another one by now."""


def encode_cursor(*parts: str) -> str:
    """Opaque text for a place in a list."""
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: Callable[[str], Any]) -> list[Any]:
    """The parts of `encode_cursor`, each converted by its kind. Raises Invalid for any other text."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("\n")
        return [kind(part) for kind, part in zip(kinds, parts, strict=True)]
    except (ValueError, OverflowError, binascii.Error) as error:
        sentence = "This cursor does not come from this list. Leave it out to start with the newest."
        raise Invalid(sentence, {"cursor": sentence}) from error


def storable(text: str | None, limit: int = 4000) -> str | None:
    """Text that PostgreSQL can store: without NUL and lone surrogates, and within the limit."""
    if text is None:
        return None
    return text[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def _close(closable: asyncpg.Pool | asyncpg.Connection) -> None:
    try:
        await asyncio.wait_for(closable.close(), CONNECT_SECONDS)
    except DRIVER_ERRORS:
        closable.terminate()
