"""Looks at Kafka for the doctor. Writes nothing to the topics and takes nothing out of them."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from builder.protocol.kafka import NotSent, start_in_time, stop_in_time
from gateway import config
from gateway.transports.kafka_cluster import CALL_SECONDS, KafkaCluster

LOOK_MS = 500


async def examine_kafka(settings: config.Kafka) -> str:
    """What is well, in a sentence. Raises Unavailable with what is wrong and what to do."""
    cluster = KafkaCluster(settings)
    place = f"Kafka at {', '.join(settings.brokers)} ({settings.security_protocol})"
    missing = await cluster.missing_topics()
    if missing:
        await cluster.make_topics(is_rehearsal=True)
        return f"{place} answers; {' and '.join(missing)} will be made when the gateway starts."
    for topic in (settings.topic, settings.dead_letter_topic):
        await _look_into(cluster, topic)
    return f"{place}; the topics {settings.topic} and {settings.dead_letter_topic} can be read; nothing was written."


async def _look_into(cluster: KafkaCluster, topic: str) -> None:
    """Read as the group's member would, without joining it: a running gateway keeps its partitions."""
    places = [TopicPartition(topic, number) for number in await cluster.partitions(topic)]
    consumer = AIOKafkaConsumer(
        **await cluster.connection(),
        group_id=cluster.settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await start_in_time(consumer.start(), consumer)
        consumer.assign(places)
        async with asyncio.timeout(CALL_SECONDS):
            for each in places:
                await consumer.committed(each)
            await consumer.getmany(timeout_ms=LOOK_MS, max_records=1)
    except (NotSent, KafkaError, TimeoutError) as error:
        raise cluster.explained(error) from error
    finally:
        await stop_in_time(consumer)
