"""The connections to ClickHouse: opened when needed, dropped after any error. Errors are raised in our words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from asynch.errors import ClickHouseException, ServerException
from asynch.proto.connection import Connection

from gateway.config import Clickhouse
from gateway.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)
# The driver logs each refused connection. Here an outage is logged once, by the job that meets it.
logging.getLogger("asynch").setLevel(logging.ERROR)

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 2.0
"""For calls that need no work, such as a ping."""
QUERY_SECONDS = 15.0
ACQUIRE_SECONDS = 10.0
CLOSE_SECONDS = 1.0

UNKNOWN_TABLE, UNKNOWN_DATABASE = 60, 81
NOT_THERE = frozenset({UNKNOWN_TABLE, UNKNOWN_DATABASE})
_REFUSED = frozenset({192, 193, 194, 516})
_FORBIDDEN = frozenset({164, 291, 497})
_NO_ROOM = frozenset({243})
_BUSY = frozenset({159, 160, 202, 209, 241, 252})

_WHERE = (
    "check clickhouse.host and clickhouse.port, which is the native protocol's (usually 9000, with TLS 9440; not 8123)"
)

Rows = list[tuple[Any, ...]]


class ClickhouseError(Unavailable):
    """The server answered with an error. `code` is one of ClickHouse's own."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class ClickhousePool:
    """At most `settings.connections` connections, each made when it is first needed.

    Every failure becomes Unavailable. After an error it is unknown what the server did, so the connection is closed. If
    a connection broke, the idle ones are closed as well, because they lead to the same server.
    """

    def __init__(self, settings: Clickhouse) -> None:
        self.settings = settings
        self._places = asyncio.Semaphore(settings.connections)
        self._idle: list[Connection] = []
        self._told: dict[str, int] = {}
        """The error that each piece of work ended with, until it succeeds: a lasting error is logged once."""

    async def fetch(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit_seconds: float = QUERY_SECONDS,
    ) -> Rows:
        """The rows of the answer; texts are bytes. Write a literal % as %% in a query with parameters."""
        async with self._connection(query) as connection:
            work = connection.execute(query, parameters)
            rows: Rows = await _within(limit_seconds, connection, work) or []
            return rows

    async def insert(self, query: str, columns: Sequence[Sequence[Any]]) -> None:
        """Sends one block, which is stored whole or not at all. After an error it is unknown which."""
        async with self._connection(query) as connection:
            size = {"insert_block_size": max(1, len(columns[0]))}
            work = connection.execute(query, list(columns), columnar=True, settings=size)
            await _within(QUERY_SECONDS, connection, work)

    async def create_database(self) -> None:
        """Raises Unavailable if this user may not."""
        # Connects to the user's default database, because the server refuses connections to a missing one.
        connection = _new_connection(self.settings, database="")
        try:
            with self._in_our_words("create database"):
                await _within(CONNECT_SECONDS, connection, connection.connect())
                create = f"CREATE DATABASE IF NOT EXISTS `{self.settings.database}`"
                await _within(QUERY_SECONDS, connection, connection.execute(create))
        finally:
            _drop(connection)

    def close(self) -> None:
        while self._idle:
            _drop(self._idle.pop())

    @contextlib.asynccontextmanager
    async def _connection(self, query: str) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable("All connections to ClickHouse are in use: raise clickhouse.connections.") from error
        try:
            with self._in_our_words("connect"):
                connection = await self._take()
            with self._in_our_words(query):
                try:
                    yield connection
                except BaseException as error:
                    _drop(connection)
                    if not isinstance(error, ServerException):
                        self.close()
                    raise
            self._idle.append(connection)
        finally:
            self._places.release()

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not _has_ended(connection):
                return connection
            _drop(connection)
        connection = _new_connection(self.settings, database=self.settings.database)
        try:
            await _within(CONNECT_SECONDS + CLOSE_SECONDS, connection, connection.connect())
        except BaseException:
            _drop(connection)
            raise
        return connection

    @contextlib.contextmanager
    def _in_our_words(self, work: str) -> Iterator[None]:
        try:
            yield
        except ServerException as error:
            code = error.code or 0
            self._log_change(work, code, error.message)
            raise ClickhouseError(_server_sentence(self.settings, code), code) from error
        except TimeoutError as error:
            raise Unavailable(f"ClickHouse at {self.settings.address} did not answer in time.") from error
        except Exception as error:
            # The driver misreads a stream that broke off, so it may raise any exception.
            raise Unavailable(_broken_sentence(self.settings, error)) from error
        self._told.pop(work, None)

    def _log_change(self, work: str, code: int, message: str) -> None:
        """Logs the server's message, which says more than our sentence. `migrate` creates what is missing."""
        if code not in NOT_THERE and self._told.get(work) != code:
            sentence = _server_sentence(self.settings, code)
            log.warning("clickhouse error %d: %s Message: %.500s", code, sentence, _first_line(message))
        self._told[work] = code


@contextlib.asynccontextmanager
async def open_clickhouse(settings: Clickhouse) -> AsyncIterator[ClickhousePool]:
    """Connects to nothing yet. Raises ConfigError for a certificate authority that cannot be read."""
    _check_ca_file(settings)
    pool = ClickhousePool(settings)
    try:
        yield pool
    finally:
        pool.close()


def _check_ca_file(settings: Clickhouse) -> None:
    if not (settings.uses_tls and settings.ca_file):
        return
    try:
        ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"clickhouse.ca_file: {settings.ca_file} is no readable file of PEM certificates.") from error


def _new_connection(settings: Clickhouse, *, database: str) -> Connection:
    return Connection(  # type: ignore[no-untyped-call]
        host=settings.server,
        port=settings.native_port,
        user=settings.user,
        password=settings.password.reveal(),
        database=database,
        client_name="buildspace",
        connect_timeout=CONNECT_SECONDS,
        sync_request_timeout=ANSWER_SECONDS,
        send_receive_timeout=QUERY_SECONDS,
        secure=settings.uses_tls,
        ca_certs=settings.ca_file or None,
        # Texts as bytes: another writer's line may not be UTF-8, and must not make a log unreadable.
        settings={"strings_as_bytes": True, "max_execution_time": int(QUERY_SECONDS)},
    )


async def _within(limit_seconds: float, connection: Connection, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of the driver's call.

    On a timeout or cancellation the socket is closed first: the driver waits for the server when it closes a
    connection, and a silent server never answers.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit_seconds)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            _drop(connection)
            task.cancel()
            await asyncio.wait({task}, timeout=CLOSE_SECONDS)
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # or asyncio logs it


def _drop(connection: Any) -> None:
    """Close the socket at once. Harmless if it was never open."""
    if connection.writer is not None:
        connection.writer.writer.transport.abort()


def _has_ended(connection: Any) -> bool:
    return connection.reader is None or connection.reader.reader.at_eof() or connection.writer.writer.is_closing()


def _first_line(message: str | None) -> str:
    """The message without the server's stack trace."""
    return (message or "").strip().partition("\n")[0]


def _server_sentence(settings: Clickhouse, code: int) -> str:
    if code in _REFUSED:
        return "ClickHouse refuses the user: check clickhouse.user and clickhouse.password."
    if code in _FORBIDDEN:
        return (
            f"The user {settings.user} of ClickHouse may not do this: it needs SELECT, INSERT, ALTER, CREATE TABLE"
            f" and DROP TABLE in the database {settings.database}."
        )
    if code == UNKNOWN_DATABASE:
        return (
            f"ClickHouse has no database {settings.database}: `buildspace serve` makes it at start, if the"
            f" user {settings.user} may, and `buildspace migrate` does so now."
        )
    if code == UNKNOWN_TABLE:
        return "ClickHouse is not prepared for this version: `buildspace migrate` does that."
    if code in _NO_ROOM:
        return "ClickHouse's disk is full."
    if code in _BUSY:
        return f"ClickHouse is too busy at the moment (error {code})."
    return f"ClickHouse cannot do this at the moment (error {code})."


def _broken_sentence(settings: Clickhouse, error: Exception) -> str:
    causes = _causes(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return (
            f"The certificate of ClickHouse at {settings.address} is not one for {settings.server} that"
            f" {'clickhouse.ca_file' if settings.ca_file else 'this system'} vouches for: check clickhouse.ca_file."
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return f"The server at {settings.address} does not speak TLS: check clickhouse.port (usually 9440) and is_tls."
    if any(isinstance(cause, OSError | TimeoutError) for cause in causes):
        return f"ClickHouse cannot be reached at {settings.address}: {_WHERE}."
    if isinstance(error, ClickHouseException) and "nexpected packet" in str(error):
        return f"The server at {settings.address} does not speak ClickHouse's native protocol: {_WHERE}."
    return f"The connection to ClickHouse at {settings.address} was lost."


def _causes(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *_causes(error.__cause__)]
