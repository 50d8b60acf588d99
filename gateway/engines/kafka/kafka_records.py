"""A subscription to the topic: fetches, decodes, puts aside, and commits exactly what was fetched."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from builder.protocol.lines import LineBatch
from gateway.engines.kafka.dead_letters import DeadLetters
from gateway.engines.kafka.kafka_cluster import Broken, KafkaCluster
from gateway.engines.kafka.kafka_polling import Fetched, Unreadable, poll
from gateway.engines.kafka.kafka_reading import is_signed, read_signed, read_unsigned
from gateway.engines.kafka.kafka_watch import Watch
from gateway.engines.log_meter import LogMeter
from gateway.errors import TooLarge, Unavailable

log = logging.getLogger(__name__)

COMMIT_SECONDS = 10.0
UNSIGNED = "It has no signature. Set kafka.accept_unsigned to accept unsigned records."
OURS = "It has no signature, but its deployment belongs to this installation, whose builders sign."

InstallKey = Callable[[], Awaitable[bytes]]
IsKnown = Callable[[uuid.UUID], Awaitable[bool]]
Read = LineBatch | str | None
"""What a record holds, or why it can't be stored. None: the reason was already given for this log."""


class RecordReader:
    """Turns records into line batches or into reasons. Raises Unavailable while the database is away."""

    def __init__(self, install_key: InstallKey, is_known: IsKnown, meter: LogMeter, *, accept_unsigned: bool) -> None:
        self._install_key = install_key
        self._is_known = is_known
        self._meter = meter
        self._accept_unsigned = accept_unsigned

    async def read(self, records: Sequence[Fetched]) -> list[Read]:
        key = await self._install_key()
        found = await asyncio.to_thread(lambda: [self._decode(record, key) for record in records])
        known: dict[uuid.UUID, bool] = {}
        for record, batch in zip(records, found, strict=True):
            if isinstance(batch, LineBatch) and not is_signed(record) and batch.deployment_id not in known:
                known[batch.deployment_id] = await self._is_known(batch.deployment_id)
        return [self._judge(record, batch, known) for record, batch in zip(records, found, strict=True)]

    def _decode(self, record: Fetched, key: bytes) -> Read:
        if isinstance(record, Unreadable):
            return record.reason
        try:
            if is_signed(record):
                return read_signed(record, key)
            return read_unsigned(record) if self._accept_unsigned else UNSIGNED
        except ValueError as error:
            return str(error)

    def _judge(self, record: Fetched, batch: Read, known: dict[uuid.UUID, bool]) -> Read:
        if not isinstance(batch, LineBatch):
            return batch
        if not is_signed(record):
            # Its numbers are places in the topic, not sizes, so only the deployment is checked.
            return OURS if known[batch.deployment_id] else batch
        size = len(record.value or b"")
        try:
            self._meter.check(batch, size)
        except TooLarge as error:
            # One endless log must not use up the dead letters of all others.
            return error.sentence if self._meter.refuse(batch) else None
        self._meter.count(batch, size)
        return batch


class KafkaLogRecords:
    """What one subscription has fetched and not committed yet."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        cluster: KafkaCluster,
        reader: RecordReader,
        dead_letters: DeadLetters,
        watch: Watch,
    ) -> None:
        self._consumer = consumer
        self._cluster = cluster
        self._reader = reader
        self._dead_letters = dead_letters
        self._watch = watch
        self._first: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._origins: list[tuple[LineBatch, Fetched]] = []
        self._aside: set[tuple[TopicPartition, int]] = set()
        """The dead letters among the uncommitted records, which are handed out again during an outage."""

    async def fetch(self, limit: int, timeout_seconds: float) -> Sequence[LineBatch]:
        """Makes dead letters of records that can't be stored. If those are too many: Unavailable, nothing is lost."""
        if not self._next:
            await self._watch.look()
        records = await self._poll(limit, timeout_seconds)
        if records:
            self._watch.moved()
        batches = await self._sort(records)
        if not batches:
            await self.commit()  # an empty fetch is never committed by the caller, and dead letters are stored already
        return batches

    async def commit(self) -> None:
        """If a partition has moved, its next gateway gets these records too, which is harmless."""
        if not self._next:
            return
        own = self._consumer.assignment()
        stored = {place: offset for place, offset in self._next.items() if place in own}
        try:
            if stored:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._consumer.commit(stored)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("log batches come again, their partitions moved: %s", error)
        except (KafkaError, TimeoutError) as error:
            raise self._explained(error) from error
        else:
            self._aside = {each for each in self._aside if each[0] in own and each[1] >= stored.get(each[0], 0)}
        self._first, self._next = {}, {}
        self._origins.clear()
        self._watch.moved()  # storing may have taken long

    def hand_out_again(self) -> None:
        """The uncommitted records are fetched again."""
        self._watch.moved()  # the records did arrive; only the store made them wait
        self._seek(self._first)
        self._first, self._next = {}, {}
        self._origins.clear()

    async def put_aside(self, batch: LineBatch, reason: str) -> None:
        """Sends the batch's original record to the dead letters. Raises Unavailable."""
        record = next(record for known, record in self._origins if known is batch)
        if not await self._lay_aside(record, reason):
            raise self._dead_letters.flood(reason)

    async def _lay_aside(self, record: Fetched, reason: str) -> bool:
        """Makes it a dead letter, unless it is one already. False if the limit is reached."""
        place = TopicPartition(record.topic, record.partition), record.offset
        if place in self._aside:
            return True
        if not self._dead_letters.has_room():
            return False
        log.warning("log record put aside: %s %d@%d: %s", record.topic, record.partition, record.offset, reason)
        await self._dead_letters.put(record, reason)
        self._aside.add(place)
        return True

    async def _poll(self, limit: int, timeout_seconds: float) -> list[Fetched]:
        try:
            records = await poll(self._consumer, limit, timeout_seconds)
        except KafkaError as error:
            raise self._explained(error) from error
        for record in records:
            self._first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        return records

    async def _sort(self, records: Sequence[Fetched]) -> list[LineBatch]:
        """The batches among the records. Stops before the first dead letter that exceeds the limit."""
        batches: list[LineBatch] = []
        for number, (record, read) in enumerate(zip(records, await self._reader.read(records), strict=True)):
            if isinstance(read, LineBatch):
                batches.append(read)
                self._origins.append((read, record))
            elif read is not None and not await self._lay_aside(record, read):
                if number == 0:
                    raise self._dead_letters.flood(read)
                self._give_back(records[number:])
                break
            self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return batches

    def _give_back(self, records: Sequence[Fetched]) -> None:
        """The next fetch returns these again."""
        first: dict[TopicPartition, int] = {}
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        self._seek(first)

    def _seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        for place in self._consumer.assignment() & offsets.keys():
            self._consumer.seek(place, offsets[place])

    def _explained(self, error: Exception) -> Unavailable:
        """Broken, unless aiokafka retries by itself."""
        sentence = self._cluster.explained(error).sentence
        will_heal = isinstance(error, TimeoutError) or getattr(error, "retriable", False)
        return Unavailable(sentence) if will_heal else Broken(sentence)
