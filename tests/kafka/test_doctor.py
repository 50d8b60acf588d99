"""What the doctor says of Kafka."""

import dataclasses

import pytest

from gateway.config import Config, Docker, Secret
from gateway.engines.http_transport import HttpLogTransport
from gateway.engines.opening import open_transport as open_configured
from gateway.errors import Unavailable
from tests.engines.kafka import LIMITED_PASSWORD, LIMITED_USER, PASSWORD, USER
from tests.kafka.parts import read_topic


async def examined(config):
    async with open_configured(config, unused, unused) as transport:
        return await transport.examine()


async def unused(*_):
    raise AssertionError("An examination asks for no key and no deployment.")


async def test_missing_topics_will_be_made_and_are_not_made(transport, settings):
    assert f"{settings.topic} and {settings.dead_letter_topic} will be made" in await examined(Config(kafka=settings))
    assert await transport._cluster.partitions(settings.topic) == []


async def test_topics_that_are_there_are_read_and_not_written(transport, settings):
    await transport._cluster.make_topics()
    assert "nothing was written" in await examined(Config(kafka=settings))
    assert await read_topic(settings, settings.topic) == []


async def test_missing_permissions_come_with_the_commands(kafka, make_settings):
    settings = make_settings(
        kafka.sasl,
        security_protocol="SASL_PLAINTEXT",
        username=LIMITED_USER,
        password=Secret(LIMITED_PASSWORD),
    )
    with pytest.raises(Unavailable, match=r"kafka-topics\.sh --bootstrap-server"):
        await examined(Config(kafka=settings))


@pytest.fixture
def as_builder(kafka, make_settings):
    """The settings where builders have this account."""

    def make(username, password):
        return make_settings(
            kafka.sasl,
            security_protocol="SASL_PLAINTEXT",
            username=USER,
            password=Secret(PASSWORD),
            builder_username=username,
            builder_password=Secret(password),
        )

    return make


async def test_builders_with_a_wrong_password_are_found_before_their_first_line_is_lost(open_transport, as_builder):
    settings = as_builder(LIMITED_USER, "wrong")
    await open_transport(settings)._cluster.make_topics()
    with pytest.raises(Unavailable, match=r"'limited', is rejected: check kafka\.builder_username"):
        await examined(Config(kafka=settings))


async def test_builders_without_rights_are_told_which_they_need(kafka, open_transport, as_builder):
    settings = as_builder(LIMITED_USER, LIMITED_PASSWORD)
    await open_transport(settings)._cluster.make_topics()
    with pytest.raises(Unavailable, match=f"may not use the topic {settings.topic}: permit Describe and Write"):
        await examined(Config(kafka=settings))
    await kafka.permit("topic", settings.topic, "describe", "write")
    assert "nothing was written." in await examined(Config(kafka=settings))


async def test_brokers_that_the_wall_would_close_are_told(kafka, transport, settings):
    await transport._cluster.make_topics()
    otherwise = dataclasses.replace(settings, brokers=[kafka.brokers.replace("127.0.0.1", "localhost")])
    docker = Docker(image="builder")
    assert f"call themselves {kafka.brokers} as well" in await examined(Config(kafka=otherwise, docker=docker))
    assert "call themselves" not in await examined(Config(kafka=settings, docker=docker))
    assert "call themselves" not in await examined(Config(kafka=otherwise))


async def test_a_broker_that_is_away_is_wrong(make_settings):
    with pytest.raises(Unavailable, match=r"Kafka does not answer at 127\.0\.0\.1:1"):
        await examined(Config(kafka=make_settings("127.0.0.1:1")))


async def test_without_kafka_the_builders_api_carries_the_lines():
    assert await HttpLogTransport().examine() == "builders post their lines to the builders' API."


async def test_a_running_gateway_keeps_its_partitions(transport, settings):
    async with transport.subscribe() as records:
        await records.fetch(1, 0.1)
        own = transport._member.consumer.assignment()
        await examined(Config(kafka=settings))
        assert transport._member.consumer.assignment() == own
