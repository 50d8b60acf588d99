"""The log transport over Kafka: builders write signed records to a topic, gateways share it as a consumer group."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer

from builder.protocol.calls import LATE_LINES_SECONDS, KafkaTarget
from builder.protocol.kafka import NotSent, RecordProducer, TooLargeToSend, start_in_time, stop_in_time
from builder.protocol.lines import LineBatch, encode_batch
from builder.protocol.tokens import SIGNATURE_HEADER, make_token, sign
from gateway import config
from gateway.engines.kafka.dead_letters import DeadLetters
from gateway.engines.kafka.kafka_cluster import Broken, KafkaCluster
from gateway.engines.kafka.kafka_examination import examine_kafka
from gateway.engines.kafka.kafka_records import InstallKey, IsKnown, KafkaLogRecords, RecordReader
from gateway.engines.kafka.kafka_watch import CaughtUp, Membership, Watch
from gateway.engines.log_meter import LogMeter
from gateway.errors import Invalid, Unavailable

SESSION_SECONDS = 6.0
"""The shortest that brokers allow: after this long another gateway gets the partitions of one that was killed."""
HEARTBEAT_SECONDS = 1.5
REBALANCE_SECONDS = 6.0
REQUEST_SECONDS = 12.0
METADATA_SECONDS = 10.0
"""How soon new partitions and recreated topics are noticed.

aiokafka's default of five minutes is longer than a log waits for missing lines.
"""
REQUEST_SLACK_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    consumer: AIOKafkaConsumer
    records: KafkaLogRecords


class KafkaLogTransport:
    """Makes no connection until it is used. `close` ends within a few seconds."""

    late_lines_seconds = LATE_LINES_SECONDS

    def __init__(
        self,
        settings: config.Kafka,
        log_bytes: int,
        install_key: InstallKey,
        is_known: IsKnown,
        *,
        are_builders_walled: bool = False,
    ) -> None:
        """Raises ConfigError for a certificate authority that can't be read.

        `are_builders_walled`: builders reach only the brokers that the settings name.
        """
        if max(SESSION_SECONDS, REBALANCE_SECONDS) + REQUEST_SLACK_SECONDS > REQUEST_SECONDS:
            raise RuntimeError(
                "A request time limit below the rebalance time limit would keep a consumer out of the group for ever."
            )
        self._cluster = KafkaCluster(settings)
        self._are_builders_walled = are_builders_walled
        self._read_install_key = install_key
        self._key: bytes | None = None
        self._producer = RecordProducer(self._cluster.target)
        self._member: _Member | None = None
        self._dead_letters = DeadLetters(self._cluster, self._producer)
        self._caught_up = CaughtUp()
        self._reader = RecordReader(
            self._install_key, is_known, LogMeter(log_bytes), accept_unsigned=settings.accept_unsigned
        )
        self.for_builders: KafkaTarget | None = self._cluster.as_builder().target

    async def examine(self) -> str:
        return await examine_kafka(self._cluster, are_builders_walled=self._are_builders_walled)

    def is_behind(self) -> bool:
        return self._caught_up.is_behind()

    async def send(self, batch: LineBatch) -> None:
        """Send a posted batch to the topic, signed on its behalf. Raises Unavailable, or Invalid if it is too large."""
        record = encode_batch(batch)
        token = make_token(await self._install_key(), batch.deployment_id, batch.attempt)
        headers = [(SIGNATURE_HEADER, sign(token, record))]
        try:
            await self._producer.send(
                self._cluster.settings.topic, record, key=str(batch.deployment_id).encode(), headers=headers
            )
        except NotSent as error:
            raise self._cluster.explained(error) from error
        except TooLargeToSend as error:
            raise Invalid("The line batch is larger than Kafka takes.") from error

    @contextlib.asynccontextmanager
    async def subscribe(self) -> AsyncIterator[KafkaLogRecords]:
        """One subscription at a time, as one member of the group. Raises Unavailable.

        While an engine is away the member stays in the group: leaving would need the broker, and after an unannounced
        end the member's partitions are blocked for SESSION_SECONDS.
        """
        await self._cluster.make_topics()
        if self._member is None:
            self._member = await self._join()
        member, is_kept = self._member, False
        try:
            yield member.records
        except Broken:
            raise
        except Unavailable:
            member.records.hand_out_again()
            is_kept = True
            raise
        finally:
            if not is_kept:
                await self._leave()

    async def close(self) -> None:
        await self._leave()
        await self._producer.close()

    async def _join(self) -> _Member:
        membership = Membership()
        consumer = await self._consumer(membership)
        watch = Watch(consumer, self._cluster, membership, self._caught_up)
        return _Member(consumer, KafkaLogRecords(consumer, self._cluster, self._reader, self._dead_letters, watch))

    async def _leave(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await stop_in_time(member.consumer)

    async def _install_key(self) -> bytes:
        """Never changes, so it is read once."""
        if self._key is None:
            self._key = await self._read_install_key()
        return self._key

    async def _consumer(self, membership: Membership) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **await self._cluster.connection(),
            group_id=self._cluster.settings.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_SECONDS * 1000),
            rebalance_timeout_ms=int(REBALANCE_SECONDS * 1000),
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            metadata_max_age_ms=int(METADATA_SECONDS * 1000),
        )
        consumer.subscribe([self._cluster.settings.topic], listener=membership)
        try:
            await start_in_time(consumer.start(), consumer, REQUEST_SECONDS + SESSION_SECONDS)
        except NotSent as error:
            raise self._cluster.explained(error) from error
        return consumer
