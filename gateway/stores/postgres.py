"""The connection to PostgreSQL: opened when first used, made anew when it broke, its errors told in our words."""

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
from gateway.errors import Invalid, Unavailable
from gateway.stores.postgres_errors import DRIVER_ERRORS, in_our_words
from gateway.stores.postgres_url import check_url, server_of

CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 10.0
COMMAND_SECONDS = 20.0
LOCK_SECONDS = 300.0
LOCK_POLL_SECONDS = 0.2
LOCK_HEARTBEAT_SECONDS = 15.0
"""Well within `idle_in_transaction_session_timeout`, by which the server takes a lock from a gateway that is frozen."""
HEARTBEAT_SECONDS = 2.0
HEARTBEAT_ANSWER_SECONDS = 5.0
GATEWAY = "buildspace"
"""How a gateway's connections are called in pg_stat_activity. Commands have a name of their own."""
LIMITS = {"statement_timeout": "15s", "idle_in_transaction_session_timeout": "60s"}
"""What the server itself ends, should this process not be there to do it."""
_SET_LOCAL_LIMITS = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in LIMITS.items())


class Held:
    """A lock, for as long as its transaction lives."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def check(self) -> None:
        """Raises Unavailable when it is lost: for what must not be done by two, ask just before."""
        async with self._turn:
            with in_our_words():
                await self._connection.execute("SELECT 1", timeout=HEARTBEAT_ANSWER_SECONDS)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[Self]:
        """The server takes it for idle, and for lost at last, unless it hears of it."""
        leaving = asyncio.Event()

        async def say_so() -> None:
            with contextlib.suppress(Unavailable):  # who asks is told
                while not await wait_until(leaving, LOCK_HEARTBEAT_SECONDS):
                    await self.check()

        saying = asyncio.create_task(say_so())
        try:
            yield self
        finally:
            leaving.set()
            await saying


class Database:
    """A pool that connects when it is first asked and replaces connections that broke.

    Whatever the driver says about the server being away becomes Unavailable. Constraint violations pass:
    the stores turn them into words of their own.

    Nothing here or in the stores outlives a transaction on its connection, but for `listen`: so a pooler may stand
    between, which hands the server's connections from transaction to transaction.
    """

    def __init__(self, url: str, pool: asyncpg.Pool, size: int, options: dict[str, Any], *, is_pooled: bool) -> None:
        self.url = url
        self.pool = pool
        self.is_pooled = is_pooled
        self._options = options
        # Who holds a lock needs a second connection to work: half of the pool is never lent to locks.
        self._lock_places = asyncio.Semaphore(max(1, size // 2))

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
        """A connection in a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.acquire() as connection, connection.transaction():
            if self.is_pooled:
                await connection.execute(_SET_LOCAL_LIMITS)
            yield connection

    @contextlib.asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[Held]:
        """Nobody else, on any gateway, holds the lock of this name within the block. Raises Unavailable after a while.

        Who waits holds no connection: many who want one lock leave room for those who want others.
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
        """As `lock`, without waiting: None where somebody else holds it, or as many locks are held as may be."""
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
        """Hand on what is notified, over a connection of its own. A job body: raises when the connection is lost.

        `on_payload("")` after each connect: notifications may have been missed, so all that is remembered is stale.
        A pooler delivers no notifications: behind one nothing is heard, and nobody is told otherwise.
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
                    # A black-holed connection says nothing: only a heartbeat finds it out.
                    await connection.execute("SELECT 1", timeout=HEARTBEAT_ANSWER_SECONDS)
                    progress()
                    await wait_until(stopping, HEARTBEAT_SECONDS)
        finally:
            await _close(connection)

    async def _take(self) -> asyncpg.Connection:
        with in_our_words(connecting=True, server=server_of(self.url)):
            return await self.pool.acquire(timeout=ACQUIRE_SECONDS)

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        # A connection that broke cannot be reset; the pool drops it. The block's own outcome is what counts.
        with contextlib.suppress(*DRIVER_ERRORS):
            await self.pool.release(connection, timeout=CONNECT_SECONDS)

    async def _connect(self) -> asyncpg.Connection:
        with in_our_words(connecting=True, server=server_of(self.url)):
            return await asyncpg.connect(self.url, **self._options)


@contextlib.asynccontextmanager
async def open_pool(
    url: str, size: int, *, is_pooled: bool = False, application_name: str = GATEWAY
) -> AsyncIterator[Database]:
    """The database behind this URL; nothing is connected yet. Raises ConfigError for what is no such URL.

    `is_pooled`: between us and the server is a pooler in transaction mode.
    """
    check_url(url)
    size = max(2, size)
    options = _options(application_name, is_pooled)
    pool = asyncpg.create_pool(url, min_size=0, max_size=size, reset=_no_reset if is_pooled else None, **options)
    await pool
    try:
        yield Database(url, pool, size, options, is_pooled=is_pooled)
    finally:
        await _close(pool)


def _options(application_name: str, is_pooled: bool) -> dict[str, Any]:
    """A pooler refuses settings at the start of a connection, and knows nothing of prepared statements."""
    settings = {} if is_pooled else {**LIMITS, "timezone": "UTC"}
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
        "statement_cache_size": 0 if is_pooled else 100,
        "server_settings": {"application_name": application_name, **settings},
    }


async def _no_reset(connection: asyncpg.Connection) -> None:
    """Behind a pooler a session is nobody's: there is nothing of ours in it, and it may be another by now."""


def encode_cursor(*parts: str) -> str:
    """Opaque text that names a place in a list."""
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: Callable[[str], Any]) -> list[Any]:
    """The parts of `encode_cursor`, each read by its kind. Raises Invalid for anything else."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("\n")
        return [kind(part) for kind, part in zip(kinds, parts, strict=True)]
    except (ValueError, OverflowError, binascii.Error) as error:
        sentence = "This cursor does not come from this list. Leave it out to start with the newest."
        raise Invalid(sentence, {"cursor": sentence}) from error


def storable(text: str | None, limit: int = 4000) -> str | None:
    """Text as PostgreSQL can keep it: without NUL and lone surrogates, not longer than the limit."""
    if text is None:
        return None
    return text[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def _close(closable: asyncpg.Pool | asyncpg.Connection) -> None:
    try:
        await asyncio.wait_for(closable.close(), CONNECT_SECONDS)
    except DRIVER_ERRORS:
        closable.terminate()
