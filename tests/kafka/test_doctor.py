"""What the doctor says of Kafka."""

import dataclasses

import pytest

from gateway.config import Config, Secret
from gateway.doctor import _check_transport
from gateway.errors import Unavailable
from gateway.transports.kafka_examination import examine_kafka
from tests.engines.kafka import LIMITED_PASSWORD, LIMITED_USER
from tests.kafka.parts import read_topic


async def test_missing_topics_will_be_made_and_are_not_made(transport, settings):
    assert f"{settings.topic} and {settings.dead_letter_topic} will be made" in await examine_kafka(settings)
    assert await transport._cluster.partitions(settings.topic) == []


async def test_topics_that_are_there_are_read_and_not_written(transport, settings):
    await transport._cluster.make_topics()
    assert "nothing was written" in await examine_kafka(settings)
    assert await read_topic(settings, settings.topic) == []


async def test_missing_permissions_come_with_the_commands(kafka, make_settings):
    settings = make_settings(
        kafka.sasl,
        security_protocol="SASL_PLAINTEXT",
        username=LIMITED_USER,
        password=Secret(LIMITED_PASSWORD),
    )
    with pytest.raises(Unavailable, match=r"kafka-topics\.sh --bootstrap-server"):
        await examine_kafka(settings)


async def test_a_broker_that_is_away_is_wrong(make_settings):
    with pytest.raises(Unavailable, match=r"Kafka does not answer at 127\.0\.0\.1:1"):
        await examine_kafka(make_settings("127.0.0.1:1"))


async def test_without_kafka_the_builders_api_carries_the_lines():
    assert await _check_transport(Config()) == "builders post their lines to http://127.0.0.1:9001."


async def test_a_running_gateway_keeps_its_partitions(transport, settings):
    async with transport.subscribe() as records:
        await records.fetch(1, 0.1)
        own = transport._member.consumer.assignment()
        await examine_kafka(dataclasses.replace(settings))
        assert transport._member.consumer.assignment() == own
