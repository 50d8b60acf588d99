"""The configured Kafka cluster: its accounts and topics, and what its errors mean for a person."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from builder.protocol.calls import KafkaTarget
from builder.protocol.kafka import NotSent, TooLargeToSend, connection_settings, start_in_time, stop_in_time
from gateway import config
from gateway.errors import ConfigError, Unavailable

CALL_SECONDS = 10.0
CREATED, EXISTS = 0, 36


class Broken(Unavailable):
    """This consumer cannot recover. A new one is needed."""


class KafkaCluster:
    """Makes no connection until it is used. Every call raises Unavailable with a sentence for a person."""

    def __init__(self, settings: config.Kafka) -> None:
        """Raises ConfigError for a certificate authority that can't be read."""
        self.settings = settings
        self.target = KafkaTarget(
            brokers=tuple(settings.brokers),
            topic=settings.topic,
            security_protocol=settings.security_protocol,
            sasl_mechanism=settings.sasl_mechanism,
            username=settings.username,
            password=settings.password.reveal(),
            ca=_read_authority(settings.ca_file),
        )

    async def connection(self) -> dict[str, Any]:
        return await asyncio.to_thread(connection_settings, self.target)

    async def make_topics(self, *, is_rehearsal: bool = False) -> None:
        """Create the missing topics. If that is refused, the sentence holds the command for it.

        `is_rehearsal`: only ask whether it would be refused.
        """
        async with self._admin() as admin:
            known = await admin.list_topics()
            missing = [name for name in self._topics if name not in known]
            if missing:
                await self._create(admin, missing, is_rehearsal=is_rehearsal)

    async def partitions(self, topic: str) -> list[int]:
        """The partition numbers. Empty if the topic is missing."""
        async with self._admin() as admin:
            if topic not in await admin.list_topics():  # describing a missing topic may create it
                return []
            (found,) = await admin.describe_topics([topic])
        return sorted(partition["partition"] for partition in found["partitions"])

    async def advertised(self) -> list[str]:
        """host:port of each broker, as the brokers advertise themselves to clients."""
        async with self._admin() as admin:
            brokers = (await admin.describe_cluster())["brokers"]
        return sorted(f"{broker['host']}:{broker['port']}" for broker in brokers)

    def as_builder(self) -> KafkaCluster:
        """The same cluster with the builders' own account, if there is one."""
        own = self.settings
        if not own.builder_username:
            return self
        return KafkaCluster(dataclasses.replace(own, username=own.builder_username, password=own.builder_password))

    async def missing_topics(self) -> list[str]:
        """The topics that this account cannot see. Changes nothing."""
        async with self._admin() as admin:
            known = await admin.list_topics()
        return [name for name in self._topics if name not in known]

    def command(self, topic: str) -> str:
        """The command that creates this topic."""
        settings = self.settings
        account = " --command-config client.properties" if settings.security_protocol != "PLAINTEXT" else ""
        return (
            f"kafka-topics.sh --bootstrap-server {','.join(settings.brokers)}{account} --create --if-not-exists"
            f" --topic {topic} --partitions {settings.partitions} --replication-factor {settings.replication_factor}"
        )

    @contextlib.asynccontextmanager
    async def reading(
        self, topic: str, group: str | None
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        """A consumer of the whole topic, and its partitions. It starts at the group's position without joining the
        group.

        So members of the group keep their partitions. Errors of the driver in the block are raised in our words.
        """
        places = [TopicPartition(topic, number) for number in await self.partitions(topic)]
        consumer = AIOKafkaConsumer(
            **await self.connection(),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await start_in_time(consumer.start(), consumer)
            consumer.assign(places)
            yield consumer, places
        except (NotSent, KafkaError, TimeoutError) as error:
            raise self.explained(error) from error
        finally:
            await stop_in_time(consumer)

    def explained(self, error: BaseException) -> Unavailable:
        """The sentence for a driver's error. For what was not sent or started, the cause says why."""
        if isinstance(error, (NotSent, TooLargeToSend)):
            error = error.__cause__ or error
        account = f"The account {self.settings.username!r}" if self.settings.username else "This gateway"
        if isinstance(error, TopicAuthorizationFailedError):
            topics = " and ".join(self._topics)
            return Unavailable(f"{account} may not use the topics {topics}: permit Describe, Read and Write on both.")
        if isinstance(error, GroupAuthorizationFailedError):
            return Unavailable(f"{account} may not use the consumer group {self.settings.group}: permit Read on it.")
        if isinstance(error, KafkaError) and not isinstance(error, KafkaConnectionError):
            return Unavailable(f"Kafka at {self._brokers} answered with an error: {str(error)[:300]}")
        return self.away()

    def away(self) -> Unavailable:
        suspects = "kafka.brokers or kafka.security_protocol"
        if self.settings.security_protocol != "PLAINTEXT":
            suspects = "kafka.brokers, kafka.security_protocol, kafka.username, kafka.password or kafka.ca_file"
        return Unavailable(
            f"Kafka does not answer at {self._brokers} ({self.settings.security_protocol}). It is away,"
            f" or {suspects} is wrong: a broker shows all of these in the same way."
        )

    @property
    def _brokers(self) -> str:
        return ", ".join(self.settings.brokers)

    @property
    def _topics(self) -> tuple[str, ...]:
        return (self.settings.topic, self.settings.dead_letter_topic)

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**await self.connection(), request_timeout_ms=int(CALL_SECONDS * 1000))
        closing = _Closing(admin)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await start_in_time(admin.start(), closing)
                yield admin
        except NotSent as error:
            raise self.away() from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise self.explained(error) from error
        finally:
            await stop_in_time(closing)

    async def _create(self, admin: AIOKafkaAdminClient, names: list[str], *, is_rehearsal: bool) -> None:
        settings = self.settings
        topics = [NewTopic(name, settings.partitions, settings.replication_factor) for name in names]
        answer = await admin.create_topics(topics, validate_only=is_rehearsal)
        refused = [(name, reason) for name, code, reason in answer.topic_errors if code not in (CREATED, EXISTS)]
        if refused:
            reasons = "; ".join(sorted({str(reason or "no reason given") for _, reason in refused}))
            commands = "\n".join(self.command(name) for name, _ in refused)
            raise Unavailable(
                f"Kafka did not create the missing topics ({reasons.rstrip('.')}). A user with the Create permission"
                f" can create them:\n{commands}"
            )


class _Closing:
    """The admin client's `close` under the name that the other clients use."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin

    async def stop(self) -> None:
        await self._admin.close()


def _read_authority(path: str) -> str:
    """The text of the PEM file. Empty if none is configured."""
    if not path:
        return ""
    try:
        text = Path(path).read_text(encoding="ascii")
        ssl.create_default_context(cadata=text)
    except ssl.SSLError as error:
        raise ConfigError(f"kafka.ca_file: {path} holds no certificate in PEM form.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"kafka.ca_file: {path} can't be read: {error}.") from error
    return text
