"""The connection to PostgreSQL: opened when first used, made anew when it broke, its errors told in our words."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg

from gateway.background import wait_until
from gateway.errors import ConfigError, Invalid, Unavailable

CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 10.0
COMMAND_SECONDS = 20.0
HEARTBEAT_SECONDS = 2.0
HEARTBEAT_ANSWER_SECONDS = 5.0
SERVER_SETTINGS = {
    "application_name": "buildspace",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}
PASSING_CLASSES = frozenset({"08", "25", "28", "3D", "40", "53", "54", "55", "57", "58", "F0", "XX"})
"""SQLSTATE classes that tell of the server, not of our SQL: connection, resources, locks, shutdown, disk."""
_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_LOST = "The connection to the database was lost."
_NOT_PREPARED = frozenset({"42P01", "42703", "42883", "42501"})
_NO_ROOM = frozenset({"53100"})


class Database:
    """A pool that connects when it is first asked and replaces connections that broke.

    Whatever the driver says about the server being away becomes Unavailable. Constraint violations pass:
    the stores turn them into words of their own.
    """

    def __init__(self, url: str, pool: asyncpg.Pool, size: int) -> None:
        self.url = url
        self.pool = pool
        # Who holds a lock needs a second connection to work: half of the pool is never lent to locks.
        self._lock_places = asyncio.Semaphore(max(1, size // 2))

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection, outside of a transaction."""
        connection = await self._take()
        try:
            with _in_our_words():
                yield connection
        finally:
            await self._give_back(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection in a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.acquire() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Nobody else, on any gateway, holds the lock of this name within the block."""
        async with self._lock_places, self.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '30min'")
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name, timeout=300)
            yield

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
        """
        connection = await self._connect()
        try:
            with _in_our_words():
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
        with _in_our_words(connecting=True):
            return await self.pool.acquire(timeout=ACQUIRE_SECONDS)

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        # A connection that broke cannot be reset; the pool drops it. The block's own outcome is what counts.
        with contextlib.suppress(*_DRIVER_ERRORS):
            await self.pool.release(connection, timeout=CONNECT_SECONDS)

    async def _connect(self) -> asyncpg.Connection:
        with _in_our_words(connecting=True):
            return await asyncpg.connect(
                self.url,
                timeout=CONNECT_SECONDS,
                command_timeout=COMMAND_SECONDS,
                server_settings=SERVER_SETTINGS,
            )


@contextlib.asynccontextmanager
async def open_pool(url: str, size: int) -> AsyncIterator[Database]:
    """The database behind this URL; nothing is connected yet. Raises ConfigError for what is no such URL."""
    _check_url(url)
    size = max(2, size)
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        server_settings=SERVER_SETTINGS,
    )
    await pool
    try:
        yield Database(url, pool, size)
    finally:
        await _close(pool)


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
        sentence = "The cursor is not one that this list gave. Leave it out to begin with the newest."
        raise Invalid(sentence, {"cursor": sentence}) from error


def storable(text: str | None, limit: int = 4000) -> str | None:
    """Text as PostgreSQL can keep it: without NUL and lone surrogates, not longer than the limit."""
    if text is None:
        return None
    return text[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


@contextlib.contextmanager
def _in_our_words(*, connecting: bool = False) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise Invalid("Text must be valid Unicode.") from error
    except asyncpg.CharacterNotInRepertoireError as error:
        raise Invalid("Text must not contain NUL characters.") from error
    except asyncpg.DataError as error:
        raise Invalid("A value has the wrong type or is out of range.") from error
    except asyncpg.PostgresError as error:
        if not _is_about_the_server(error):
            raise
        raise Unavailable(_sentence(error)) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        lost = "The database cannot be reached: check postgres.url." if connecting else _LOST
        raise Unavailable(lost) from error
    except TimeoutError as error:
        raise Unavailable("The database did not answer in time.") from error
    except (OSError, ValueError) as error:
        if not connecting:
            raise
        raise Unavailable(f"The database cannot be reached: {_reason(error)}.") from error


def _is_about_the_server(error: asyncpg.PostgresError) -> bool:
    state = error.sqlstate or ""
    return state[:2] in PASSING_CLASSES or state in _NOT_PREPARED


def _sentence(error: asyncpg.PostgresError) -> str:
    state = error.sqlstate or ""
    if state in _NO_ROOM:
        return "The database's disk is full."
    if state in _NOT_PREPARED:
        return "The database is not prepared for this version: `buildspace migrate` does that."
    if state[:2] in ("28", "3D"):
        return "The database refuses the connection: check the user, the password and the name in postgres.url."
    return "The database cannot do this at the moment."


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).rstrip(".")


def _check_url(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("postgres", "postgresql") and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(
            "postgres.url (DATABASE_URL) must look like postgresql://user:password@host:5432/name"
            " or postgresql:///name?host=/folder/of/the/socket."
        )


async def _close(closable: asyncpg.Pool | asyncpg.Connection) -> None:
    try:
        await asyncio.wait_for(closable.close(), CONNECT_SECONDS)
    except _DRIVER_ERRORS:
        closable.terminate()
