"""Records that the topic has forgotten before anybody read them."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.kafka.parts import write


async def test_nobody_waits_for_them(open_transport, settings, monkeypatch):
    monkeypatch.setattr("gateway.engines.kafka.kafka_watch.BEHIND_SECONDS", 5.0)
    gateways = [open_transport(settings), open_transport(settings)]
    await gateways[0]._cluster.make_topics()
    places = [TopicPartition(settings.topic, number) for number in range(settings.partitions)]
    for place in places:
        await write(settings, b"old", partition=place.partition)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    await admin.delete_records({place: RecordsToDelete(before_offset=1) for place in places})
    await admin.close()

    async def work(transport):
        async with transport.subscribe() as records:
            for _ in range(150):
                await records.fetch(10, 0.1)
            return transport.is_behind()

    assert await asyncio.gather(*map(work, gateways)) == [False, False]
