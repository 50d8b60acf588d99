"""Who may speak to the brokers: TLS, passwords, permissions, and what is said where they are wrong."""

import asyncio
import dataclasses

import pytest

from builder.kafka import KafkaSender
from builder.protocol.lines import encode_batch
from builder.protocol.tokens import make_token
from gateway.config import Secret
from gateway.errors import ConfigError, Unavailable
from tests.engines.kafka import LIMITED_PASSWORD, LIMITED_USER, PASSWORD, USER
from tests.kafka.parts import KEY, make_batch, new_id, take

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@pytest.fixture
def secured(kafka, make_settings):
    """Settings for each listener of the broker, right unless they are changed."""

    def make(protocol, mechanism="PLAIN", **changes):
        brokers = {
            "PLAINTEXT": kafka.brokers,
            "SSL": kafka.tls,
            "SASL_PLAINTEXT": kafka.sasl,
            "SASL_SSL": kafka.sasl_tls,
        }
        right = {
            "security_protocol": protocol,
            "sasl_mechanism": mechanism,
            "username": USER,
            "password": Secret(PASSWORD),
            "ca_file": str(kafka.ca_file),
        }
        return make_settings(brokers[protocol], **{**right, **changes})

    return make


async def bring(transport):
    """One batch from a builder's sender to the consumer."""
    batch = make_batch(deployment_id=new_id())
    sender = KafkaSender(transport.for_builders, make_token(KEY, batch.deployment_id, 1), batch.deployment_id)
    try:
        async with transport.subscribe() as records, asyncio.timeout(30):
            await sender.send(encode_batch(batch))
            assert await take(records, 1) == [batch]
    finally:
        await sender.close()


async def test_tls_with_an_authority_of_its_own(open_transport, secured):
    await bring(open_transport(secured("SSL")))


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_passwords(open_transport, secured, protocol, mechanism):
    await bring(open_transport(secured(protocol, mechanism)))


async def refusal(transport):
    """What subscribing is answered with."""
    with pytest.raises(Unavailable) as refused:
        async with transport.subscribe():
            pass
    return refused.value.sentence


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_a_wrong_password_is_among_the_suspects(open_transport, secured, protocol, mechanism):
    sentence = await refusal(open_transport(secured(protocol, mechanism, password=Secret("wrong-pw"))))
    assert "kafka.username, kafka.password or kafka.ca_file is wrong" in sentence
    assert "wrong-pw" not in sentence


async def test_an_authority_that_did_not_sign_is_among_the_suspects(open_transport, secured):
    assert "kafka.ca_file is wrong" in await refusal(open_transport(secured("SSL", ca_file="")))


async def test_plaintext_to_a_tls_port_is_among_the_suspects(open_transport, secured, kafka):
    sentence = await refusal(open_transport(dataclasses.replace(secured("PLAINTEXT"), brokers=[kafka.tls])))
    assert "kafka.brokers or kafka.security_protocol is wrong" in sentence


async def test_a_relay_with_a_wrong_password_is_told(open_transport, secured):
    with pytest.raises(Unavailable, match=r"kafka\.password"):
        await open_transport(secured("SASL_SSL", password=Secret("wrong-pw"))).send(make_batch(deployment_id=new_id()))


def test_an_authority_that_cannot_be_read_ends_the_start(open_transport, secured, tmp_path):
    with pytest.raises(ConfigError, match=r"kafka\.ca_file"):
        open_transport(secured("SSL", ca_file=str(tmp_path / "missing.pem")))
    (tmp_path / "empty.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"kafka\.ca_file"):
        open_transport(secured("SSL", ca_file=str(tmp_path / "empty.pem")))


def limited(secured, **changes):
    return secured(
        "SASL_PLAINTEXT", "SCRAM-SHA-256", username=LIMITED_USER, password=Secret(LIMITED_PASSWORD), **changes
    )


async def test_who_may_not_create_topics_is_told_the_commands(open_transport, secured):
    settings = limited(secured, partitions=12, replication_factor=3)
    sentence = await refusal(open_transport(settings))
    command = f"kafka-topics.sh --bootstrap-server {settings.brokers[0]} --command-config client.properties --create"
    for topic in (settings.topic, settings.dead_letter_topic):
        assert f"{command} --if-not-exists --topic {topic} --partitions 12 --replication-factor 3" in sentence


async def test_a_group_that_is_not_permitted_is_named(open_transport, secured, kafka):
    settings = limited(secured)
    await open_transport(secured("PLAINTEXT"))._cluster.make_topics()
    await kafka.permit("topic", settings.topic, "read", "write", "describe")
    await kafka.permit("topic", settings.dead_letter_topic, "read", "write", "describe")
    assert f"may not use the consumer group {settings.group}" in await refusal(open_transport(settings))
    await kafka.permit("group", settings.group, "read")
    await bring(open_transport(settings))


async def test_builders_have_an_account_that_only_writes(open_transport, secured, kafka):
    builders = {"builder_username": LIMITED_USER, "builder_password": Secret(LIMITED_PASSWORD)}
    transport = open_transport(secured("SASL_SSL", "SCRAM-SHA-512", **builders))
    await transport._cluster.make_topics()
    await kafka.permit("topic", transport.for_builders.topic, "write", "describe")
    assert transport.for_builders.username == LIMITED_USER
    await bring(transport)
