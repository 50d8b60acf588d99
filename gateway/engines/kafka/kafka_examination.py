"""The doctor's examination of Kafka. Writes nothing to the topics and consumes nothing."""

from __future__ import annotations

import asyncio

from gateway.engines.kafka.kafka_cluster import CALL_SECONDS, KafkaCluster
from gateway.errors import Unavailable

LOOK_MS = 500


async def examine_kafka(cluster: KafkaCluster, *, are_builders_walled: bool) -> str:
    """Connects with the gateway's account, and with the builders' account."""
    settings = cluster.settings
    place = f"Kafka at {', '.join(settings.brokers)} ({settings.security_protocol})"
    missing = await cluster.missing_topics()
    if missing:
        await cluster.make_topics(is_rehearsal=True)
        return f"{place} answers; {' and '.join(missing)} will be made when the gateway starts."
    for topic in (settings.topic, settings.dead_letter_topic):
        await _read_without_joining(cluster, topic)
    await _examine_builders_account(cluster)
    return (
        f"{place}; the topics {settings.topic} and {settings.dead_letter_topic} can be read; nothing was written."
        f"{await _about_the_wall(cluster) if are_builders_walled else ''}"
    )


async def _read_without_joining(cluster: KafkaCluster, topic: str) -> None:
    """Reads as a member of the group would, without joining it, so that a running gateway keeps its partitions."""
    async with (
        cluster.reading(topic, cluster.settings.group) as (consumer, places),
        asyncio.timeout(CALL_SECONDS),
    ):
        for each in places:
            await consumer.committed(each)
        await consumer.getmany(timeout_ms=LOOK_MS, max_records=1)


async def _examine_builders_account(cluster: KafkaCluster) -> None:
    builders, settings = cluster.as_builder(), cluster.settings
    if builders is cluster:
        return
    try:
        missing = await builders.missing_topics()
    except Unavailable as error:
        raise Unavailable(
            f"The account of builders, {settings.builder_username!r}, is rejected: check kafka.builder_username and"
            " kafka.builder_password."
        ) from error
    if settings.topic in missing:
        raise Unavailable(
            f"The account of builders, {settings.builder_username!r}, may not use the topic {settings.topic}: permit"
            " Describe and Write on it."
        )


async def _about_the_wall(cluster: KafkaCluster) -> str:
    unnamed = set(await cluster.advertised()) - set(cluster.settings.brokers)
    if not unnamed:
        return ""
    return (
        f" The brokers call themselves {', '.join(sorted(unnamed))} as well: unless these addresses are public,"
        " builders in Docker reach them only if kafka.brokers names them, too."
    )
