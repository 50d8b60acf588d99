"""The log consumer: batches from the transport into the log store. Insert, then commit."""

from __future__ import annotations

import asyncio
import collections
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from builder.protocol.lines import LineBatch
from gateway.errors import GatewayError, Unavailable
from gateway.roles import LogRecords, LogTransport

log = logging.getLogger(__name__)

FETCH_BATCHES = 200
FETCH_SECONDS = 0.5
APPEND_SECONDS = 60.0
STRIKES = 3
"""An unforeseen error may be our own fault, so a batch is put aside only after failing this often by itself."""


class TakesBatches(Protocol):
    """The part of a log store that the consumer needs."""

    async def append(self, batches: Sequence[LineBatch]) -> None: ...


class LogConsumer:
    """Stores every batch at least once; storing one twice is harmless."""

    def __init__(self, transport: LogTransport, logs: TakesBatches) -> None:
        self._transport = transport
        self._logs = logs
        self._limit = FETCH_BATCHES
        self._strikes: collections.Counter[tuple[uuid.UUID, int, int]] = collections.Counter()

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Work until stopped. While the store is away, raises without a commit: the next run gets the same batches."""
        async with self._transport.subscribe() as records:
            while not stopping.is_set():
                batches = await records.fetch(self._limit, FETCH_SECONDS)
                if batches:
                    await self._store(records, batches)
                    await records.commit()
                progress()  # also after an empty fetch: it shows that the transport works

    async def _store(self, records: LogRecords, batches: Sequence[LineBatch]) -> None:
        try:
            await self._append(batches)
        except Unavailable:
            raise
        except Exception:  # one batch that the store refuses must not hold up the lines of all other builds
            log.exception("log batches refused, trying them one by one")
            for batch in batches:
                await self._store_alone(records, batch)
        else:
            self._strikes.clear()

    async def _store_alone(self, records: LogRecords, batch: LineBatch) -> None:
        try:
            await self._append([batch])
        except Unavailable:
            raise
        except GatewayError as error:
            await self._put_aside(records, batch, error.sentence)
        except Exception:  # as above
            key = (batch.deployment_id, batch.attempt, batch.first_seq)
            self._strikes[key] += 1
            if self._strikes[key] < STRIKES:
                raise
            await self._put_aside(records, batch, "The log store can't take these lines.")

    async def _put_aside(self, records: LogRecords, batch: LineBatch, reason: str) -> None:
        ids = (batch.deployment_id, batch.attempt, batch.first_seq, batch.last_seq)
        log.error("log lines put aside: deployment %s attempt %d lines %d to %d: %s", *ids, reason)
        await records.put_aside(batch, reason)

    async def _append(self, batches: Sequence[LineBatch]) -> None:
        """After a timeout appends at most a quarter as many batches at once; twice as many again after each success."""
        try:
            async with asyncio.timeout(APPEND_SECONDS):
                await self._logs.append(batches)
        except TimeoutError as error:
            self._limit = max(1, min(self._limit, len(batches)) // 4)
            raise Unavailable("The log store did not take the lines in time. It is tried with fewer.") from error
        self._limit = min(FETCH_BATCHES, self._limit * 2)
