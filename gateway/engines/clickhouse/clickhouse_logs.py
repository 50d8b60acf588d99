"""The log store on ClickHouse: one row per line in `log_events`, in partitions by month (UTC) of receipt."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from builder.protocol.lines import LineBatch
from builder.protocol.steps import STEPS, STREAMS
from gateway.engines.clickhouse.clickhouse_examination import examine_clickhouse
from gateway.engines.clickhouse.clickhouse_pool import NOT_THERE, QUERY_SECONDS, ClickhouseError, ClickhousePool
from gateway.errors import ConfigError, Unavailable
from gateway.models.log import LogLine, LogPosition

INSERT_ROWS = 5_000
INSERT_BYTES = 4 * 1024 * 1024
"""An insert of this size is sent. The driver encodes it on the loop, about 2 ms for 1,000 rows."""
PIECE_ROWS = 500
LEAST_WINDOW = 100
MAX_SEQ = 2**63
CHECK_SECONDS = 5.0

INSERT = """
INSERT INTO log_events (
    deployment_id,
    attempt,
    seq,
    at,
    stream,
    step,
    log,
    received_at
)
VALUES
"""
# Reads a window of the key, not the rest of the log: LIMIT 1 BY sorts all rows that it gets.
READ = """
SELECT
    seq,
    at,
    stream,
    step,
    log
FROM log_events
WHERE deployment_id = toUUID(%(deployment_id)s)
    AND attempt = %(attempt)s
    AND seq > %(after)s
    AND seq <= %(last)s
ORDER BY seq
LIMIT 1 BY deployment_id, attempt, seq
LIMIT %(limit)s
"""
NEXT = """
SELECT
    attempt,
    min(seq)
FROM log_events
WHERE deployment_id = toUUID(%(deployment_id)s)
    AND attempt >= %(attempt)s
    AND (attempt > %(attempt)s OR seq > %(after)s)
GROUP BY attempt
ORDER BY attempt
LIMIT 1
"""
# Each stored seq beside the next one: a difference over 1 is a gap. 0 and last_seq + 1 are the ends.
MISSING = """
SELECT
    pair.1 + 1 AS first_missing,
    pair.2 - 1 AS last_missing
FROM (
    SELECT arrayJoin(arrayFilter(
        pair -> pair.2 > pair.1 + 1,
        arrayMap(
            (seq, following) -> (seq, following),
            arrayConcat([toUInt64(0)], seqs),
            arrayConcat(seqs, [toUInt64(%(last_seq)s + 1)])
        )
    )) AS pair
    FROM (
        SELECT arraySort(groupUniqArray(seq)) AS seqs
        FROM log_events
        WHERE deployment_id = toUUID(%(deployment_id)s)
            AND attempt = %(attempt)s
            AND seq >= 1
            AND seq <= %(last_seq)s
    )
)
ORDER BY first_missing
"""
PARTITIONS = """
SELECT DISTINCT toUInt32(partition) AS month
FROM system.parts
WHERE database = currentDatabase()
    AND table = 'log_events'
    AND active
ORDER BY month
"""
NOW = "SELECT toUnixTimestamp(now())"
CHECK = """
SELECT count()
FROM log_events
WHERE 0
"""
FORGET = "ALTER TABLE log_events DELETE WHERE deployment_id IN %(ids)s"
FORGOTTEN_AT_ONCE = 1000
"""A longer list would come near the limit on the size of a query."""
DROP_PARTITION = "ALTER TABLE log_events DROP PARTITION %(month)s"


class ClickhouseLogStore:
    """`prepare` creates the tables. It is called before the first use, and again if they disappear.

    The time of receipt comes from ClickHouse's clock, so a gateway with a wrong clock does not delete lines too early.
    It is asked once per append, because the table has no default for it.

    Every failure is Unavailable, even one that only a person can fix: batches wait, and none is refused because of it.
    """

    def __init__(
        self,
        pool: ClickhousePool,
        prepare: Callable[[], Awaitable[object]],
        now: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._pool = pool
        self._prepare = prepare
        self._now = now or self._server_now
        self._preparing = asyncio.Lock()
        self._is_prepared = False
        self._tries, self._trouble = 0, ""

    async def append(self, batches: Sequence[LineBatch]) -> None:
        """Store all batches, or raise Unavailable: some may be stored then, so append all of them again."""
        if not batches:
            return
        await self._ensure_prepared()
        # Each insert is made just before it is sent, and is small, so the loop runs other tasks in between. A thread
        # would compete with the loop for the interpreter lock and delay it for longer.
        for columns in _inserts_of(batches, await self._now()):
            with self._detecting_lost_tables():
                await self._pool.insert(INSERT, columns)

    async def read(self, deployment_id: uuid.UUID, after: LogPosition, limit: int) -> list[LogLine]:
        """At most `limit` lines after `after`, ordered by attempt and seq. Skips gaps."""
        lines: list[LogLine] = []
        position, width = after, max(limit, LEAST_WINDOW)
        while len(lines) < limit:
            last = min(position.seq + width, MAX_SEQ)
            found = await self._read_window(deployment_id, position, last, limit - len(lines))
            lines += found
            if len(lines) < limit:
                following = await self._next(deployment_id, LogPosition(position.attempt, last))
                if following is None:
                    break
                # Lines far apart are searched for in growing windows.
                position, width = following, width * 2
        return lines

    async def missing(self, deployment_id: uuid.UUID, attempt: int, last_seq: int) -> list[tuple[int, int]]:
        """The ranges [first, last] of 1..last_seq that are not stored, in order."""
        if last_seq < 1:
            return []
        rows = await self._fetch(MISSING, deployment_id=deployment_id, attempt=attempt, last_seq=last_seq)
        return [(first, last) for first, last in rows]

    async def compact(self, deployment_id: uuid.UUID) -> int:
        """Does nothing: ClickHouse merges parts itself."""
        return 0

    async def forget(self, deployment_ids: Collection[uuid.UUID]) -> None:
        """ClickHouse rewrites the parts concerned in the background."""
        ids = [str(each) for each in deployment_ids]
        for start in range(0, len(ids), FORGOTTEN_AT_ONCE):
            await self._fetch(FORGET, ids=tuple(ids[start : start + FORGOTTEN_AT_ONCE]))

    async def drop_before(self, day: datetime.date) -> int:
        """Delete the months that had ended by that UTC day. Returns how many.

        Lines received earlier in the day's own month stay until that month has ended too.
        """
        months = [month for (month,) in await self._fetch(PARTITIONS)]
        old = [month for month in months if month < day.year * 100 + day.month]
        for month in old:
            await self._fetch(DROP_PARTITION, month=month)
        return len(old)

    async def check(self) -> None:
        """Raises Unavailable."""
        await self._fetch(CHECK, limit_seconds=CHECK_SECONDS)

    async def examine(self) -> str:
        return await examine_clickhouse(self._pool)

    async def _server_now(self) -> int:
        """Seconds since 1970."""
        ((seconds,),) = await self._fetch(NOW)
        return int(seconds)

    async def _read_window(self, deployment_id: uuid.UUID, after: LogPosition, last: int, limit: int) -> list[LogLine]:
        rows = await self._fetch(
            READ, deployment_id=deployment_id, attempt=after.attempt, after=after.seq, last=last, limit=limit
        )
        return [
            LogLine(deployment_id, after.attempt, seq, at, STREAMS[_text(stream)], STEPS[_text(step)], _text(log))
            for seq, at, stream, step, log in rows
        ]

    async def _next(self, deployment_id: uuid.UUID, after: LogPosition) -> LogPosition | None:
        """The position before the next stored line."""
        rows = await self._fetch(NEXT, deployment_id=deployment_id, attempt=after.attempt, after=after.seq)
        return LogPosition(rows[0][0], rows[0][1] - 1) if rows else None

    async def _fetch(
        self, query: str, *, limit_seconds: float = QUERY_SECONDS, **parameters: Any
    ) -> list[tuple[Any, ...]]:
        await self._ensure_prepared()
        with self._detecting_lost_tables():
            return await self._pool.fetch(query, parameters, limit_seconds=limit_seconds)

    async def _ensure_prepared(self) -> None:
        if self._is_prepared:
            return
        tries = self._tries
        async with self._preparing:
            if self._is_prepared:
                return
            if self._tries > tries:  # another call failed meanwhile: waiting calls must not all try one after the other
                raise Unavailable(self._trouble)
            try:
                await self._prepare()
                self._is_prepared = True
            except (ConfigError, Unavailable) as error:
                self._tries, self._trouble = self._tries + 1, error.sentence
                raise Unavailable(error.sentence) from error

    @contextlib.contextmanager
    def _detecting_lost_tables(self) -> Iterator[None]:
        """Tables that are missing are created again at the next use."""
        try:
            yield
        except ClickhouseError as error:
            if error.code in NOT_THERE:
                self._is_prepared = False
            raise


def _inserts_of(batches: Iterable[LineBatch], received_at: int) -> Iterator[list[list[Any]]]:
    """The lines of the batches in the columns of INSERT, in portions of limited size."""
    columns, size = _no_rows(), 0
    for batch in batches:
        for start in range(0, len(batch.lines), PIECE_ROWS):
            piece = _columns_of(batch, start, received_at)
            for column, more in zip(columns, piece, strict=True):
                column += more
            size += sum(len(line.text) for line in batch.lines[start : start + PIECE_ROWS])
            if len(columns[0]) >= INSERT_ROWS or size >= INSERT_BYTES:
                yield columns
                columns, size = _no_rows(), 0
    if columns[0]:
        yield columns


def _columns_of(batch: LineBatch, start: int, received_at: int) -> list[list[Any]]:
    lines = batch.lines[start : start + PIECE_ROWS]
    first, count = batch.first_seq + start, len(lines)
    return [
        [batch.deployment_id] * count,
        [batch.attempt] * count,
        list(range(first, first + count)),
        [line.at for line in lines],
        [line.stream.encode() for line in lines],
        [line.step.encode() for line in lines],
        [line.text.encode("utf-8", "replace") for line in lines],
        [received_at] * count,
    ]


def _no_rows() -> list[list[Any]]:
    return [[] for _ in range(8)]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
