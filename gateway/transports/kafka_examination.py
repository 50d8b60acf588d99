"""Looks at Kafka for the doctor. Writes nothing to the topics and takes nothing out of them."""

from __future__ import annotations

import asyncio

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
    async with (
        cluster.reading(topic, cluster.settings.group) as (consumer, places),
        asyncio.timeout(CALL_SECONDS),
    ):
        for each in places:
            await consumer.committed(each)
        await consumer.getmany(timeout_ms=LOOK_MS, max_records=1)
