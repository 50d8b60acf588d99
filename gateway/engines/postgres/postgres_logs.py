"""The embedded log store: line batches in PostgreSQL, one compressed row each, in partitions by UTC day of receipt."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import uuid
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import asyncpg

from builder.protocol.lines import Line, LineBatch
from builder.protocol.steps import STEPS, STREAMS
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_examination import examine_postgres_logs
from gateway.models.log import LogLine, LogPosition

ROW_LINES = 2000
"""No row holds more lines, so a line is in a row that begins at most this many lines before it."""
ROWS_AT_ONCE = 32

StoredLine = tuple[int, str, str, str]
"""Milliseconds, stream, step, text."""


class StoredRow(NamedTuple):
    deployment_id: uuid.UUID
    attempt: int
    first_seq: int
    last_seq: int
    received_on: datetime.date
    body: bytes


class PostgresLogStore:
    """The day of receipt comes from the database's clock, so a gateway's wrong clock deletes no lines too early."""

    def __init__(self, database: Database, today: Callable[[], Awaitable[datetime.date]] | None = None) -> None:
        self._database = database
        self._today = today or self._database_today

    async def append(self, batches: Sequence[LineBatch]) -> None:
        """Store all batches, or raise Unavailable: some may be stored then, so append all of them again."""
        if not batches:
            return
        rows = await asyncio.to_thread(_rows_of, batches, await self._today())
        try:
            await self._insert(rows)
        except asyncpg.CheckViolationError:  # the day has no partition yet
            await self._make_partition(rows[0].received_on)
            await self._insert(rows)

    async def read(self, deployment_id: uuid.UUID, after: LogPosition, limit: int) -> list[LogLine]:
        """At most `limit` lines after `after`, ordered by attempt and seq. Skips gaps."""
        lines: list[LogLine] = []
        async with self._database.transaction() as connection:
            cursor = await connection.cursor(
                """
                SELECT attempt, first_seq, body
                FROM log_batches
                WHERE deployment_id = $1
                    AND (attempt, first_seq) > ($2, $3 - $4::bigint)
                    AND (attempt > $2 OR last_seq > $3)
                ORDER BY attempt, first_seq
                """,
                deployment_id,
                after.attempt,
                after.seq,
                ROW_LINES,
            )
            while len(lines) < limit and (rows := await cursor.fetch(_rows_wanted(limit - len(lines)))):
                position = LogPosition(lines[-1].attempt, lines[-1].seq) if lines else after
                lines += await asyncio.to_thread(_lines_after, deployment_id, position, rows)
        return lines[:limit]

    async def missing(self, deployment_id: uuid.UUID, attempt: int, last_seq: int) -> list[tuple[int, int]]:
        """The ranges [first, last] of 1..last_seq that are not stored, in order."""
        if last_seq < 1:
            return []
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT lower(gap) AS first_seq, upper(gap) - 1 AS last_seq
                FROM (
                    SELECT range_agg(int8range(first_seq, last_seq, '[]')) AS ranges
                    FROM log_batches
                    WHERE deployment_id = $1 AND attempt = $2
                ) AS stored
                CROSS JOIN LATERAL unnest(
                    int8multirange(int8range(1, $3::bigint, '[]')) - coalesce(stored.ranges, int8multirange())
                ) AS gap
                ORDER BY first_seq
                """,
                deployment_id,
                attempt,
                last_seq,
            )
        return [(row["first_seq"], row["last_seq"]) for row in rows]

    async def drop_before(self, day: datetime.date) -> int:
        """Delete the batches received before that UTC day. Returns how many partitions it dropped."""
        async with self._database.transaction() as connection:
            await connection.execute("SET LOCAL lock_timeout = '5s'")
            dropped: int = await connection.fetchval("SELECT drop_log_partitions($1)", day)
        return dropped

    async def forget(self, deployment_ids: Collection[uuid.UUID]) -> None:
        async with self._database.acquire() as connection:
            await connection.execute("DELETE FROM log_batches WHERE deployment_id = ANY($1)", list(deployment_ids))

    async def check(self) -> None:
        """Raises Unavailable."""
        async with self._database.acquire() as connection:
            await connection.execute("SELECT 1")

    async def examine(self) -> str:
        return await examine_postgres_logs(self, self._database)

    async def compact(self, deployment_id: uuid.UUID) -> int:
        """Merge neighbouring batches into fewer rows. Reads return the same before, during and after it.

        For a log that has ended. Returns how many rows it saved.
        """
        async with self._database.transaction() as connection:
            found = await connection.fetch(
                """
                SELECT deployment_id, attempt, first_seq, last_seq, received_on, body
                FROM log_batches
                WHERE deployment_id = $1
                ORDER BY received_on, attempt, first_seq
                FOR UPDATE
                """,
                deployment_id,
            )
            groups = [group for group in _neighbours(StoredRow(*row) for row in found) if len(group) > 1]
            merged = await asyncio.to_thread(lambda: [_merge(group) for group in groups])
            await connection.executemany(
                """
                DELETE FROM log_batches
                WHERE deployment_id = $1 AND attempt = $2 AND first_seq = $3 AND received_on = $4
                """,
                [(row.deployment_id, row.attempt, row.first_seq, row.received_on) for row in itertools.chain(*groups)],
            )
            await _insert_rows(connection, merged)
        return sum(map(len, groups)) - len(merged)

    async def _database_today(self) -> datetime.date:
        async with self._database.acquire() as connection:
            today: datetime.date = await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
        return today

    async def _insert(self, rows: Sequence[StoredRow]) -> None:
        async with self._database.acquire() as connection:
            await _insert_rows(connection, rows)

    async def _make_partition(self, day: datetime.date) -> None:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT make_log_partition($1)", day)


async def _insert_rows(connection: asyncpg.Connection, rows: Sequence[StoredRow]) -> None:
    # All or nothing: executemany runs in an implicit transaction.
    await connection.executemany(
        """
        INSERT INTO log_batches (
            deployment_id,
            attempt,
            first_seq,
            last_seq,
            received_on,
            body
        )
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (deployment_id, attempt, first_seq, received_on) DO UPDATE
        SET last_seq = excluded.last_seq, body = excluded.body
        WHERE excluded.last_seq > log_batches.last_seq
        """,
        rows,
    )


def _rows_of(batches: Sequence[LineBatch], day: datetime.date) -> list[StoredRow]:
    rows = [
        _to_row(batch, start, batch.lines[start : start + ROW_LINES], day)
        for batch in batches
        for start in range(0, len(batch.lines), ROW_LINES)
    ]
    return sorted(rows, key=lambda row: row[:4])  # all writers use one order, so they never deadlock


def _to_row(batch: LineBatch, start: int, lines: Sequence[Line], day: datetime.date) -> StoredRow:
    first = batch.first_seq + start
    body = _pack([(line.at, line.stream, line.step, line.text) for line in lines])
    return StoredRow(batch.deployment_id, batch.attempt, first, first + len(lines) - 1, day, body)


def _pack(lines: list[StoredLine]) -> bytes:
    return zlib.compress(json.dumps(lines, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), 1)


def _unpack(body: bytes) -> list[StoredLine]:
    lines: list[StoredLine] = json.loads(zlib.decompress(body))
    return lines


def _lines_after(deployment_id: uuid.UUID, position: LogPosition, rows: Iterable[asyncpg.Record]) -> list[LogLine]:
    """The lines after the position, each once. Rows may overlap, or repeat lines from before midnight."""
    found: list[LogLine] = []
    attempt, seq = position.attempt, position.seq
    for row in rows:
        if row["attempt"] != attempt:
            attempt, seq = row["attempt"], 0
        new = _unpack(row["body"])[max(0, seq + 1 - row["first_seq"]) :]
        for number, (at, stream, step, text) in enumerate(new, max(seq + 1, row["first_seq"])):
            found.append(LogLine(deployment_id, attempt, number, at, STREAMS[stream], STEPS[step], text))
            seq = number
    return found


def _rows_wanted(lines: int) -> int:
    return min(lines, ROWS_AT_ONCE)


def _neighbours(rows: Iterable[StoredRow]) -> Iterator[list[StoredRow]]:
    """Runs of rows of one day and attempt without a gap between them, up to ROW_LINES lines."""
    group: list[StoredRow] = []
    for row in rows:
        if group and not _follows(group, row):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _follows(group: Sequence[StoredRow], row: StoredRow) -> bool:
    first, last = group[0], group[-1]
    same = (first.attempt, first.received_on) == (row.attempt, row.received_on)
    return same and row.first_seq == last.last_seq + 1 and row.last_seq - first.first_seq < ROW_LINES


def _merge(group: Sequence[StoredRow]) -> StoredRow:
    body = _pack([line for row in group for line in _unpack(row.body)])
    return group[0]._replace(last_seq=group[-1].last_seq, body=body)
