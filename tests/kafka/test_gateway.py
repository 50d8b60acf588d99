"""A gateway on Kafka, as its users run it: a build outlives an outage of Kafka, and its log is whole in the end."""

import asyncio

import pytest

from tests.engines.gateway import eventually, running_gateway
from tests.engines.git_server import git_server


@pytest.fixture
async def git_url(tmp_path):
    async with git_server(tmp_path / "git") as server:
        yield server.create("site", {"index.html": "<p>it works</p>"})


@pytest.fixture
async def gateway(kafka, make_settings, tmp_path):
    settings = make_settings(kafka.brokers)
    async with running_gateway(
        tmp_path,
        KAFKA_BROKERS=kafka.brokers,
        KAFKA_TOPIC=settings.topic,
        BUILDSPACE_KAFKA_GROUP=settings.group,
        BUILDSPACE_KAFKA_DEAD_LETTER_TOPIC=settings.dead_letter_topic,
    ) as running:
        yield running


async def test_a_build_ends_well_while_kafka_is_away_and_its_log_follows(gateway, kafka, git_url):
    deployed = await gateway.deploy(git_url)
    whole = await gateway.log(deployed["deploymentId"])
    assert (whole["complete"], whole["missing"]) == (True, [])
    await asyncio.to_thread(kafka.kill)
    try:
        again = await gateway.deploy(git_url)
        assert (await gateway.ended(again["deploymentId"]))["status"] == "READY"
        assert not (await gateway.get(f"/logs/{again['deploymentId']}"))["ended"]
        _, health = await gateway.call("GET", "/ready")
        assert "Kafka does not answer" in str(health)
    finally:
        await asyncio.to_thread(kafka.start)
    log = await gateway.log(again["deploymentId"])
    assert (log["complete"], log["missing"]) == (True, [])
    assert [line["seq"] for line in log["rawLogs"]] == list(range(1, len(log["rawLogs"]) + 1))
    await eventually(lambda: is_ready(gateway), "the gateway is ready again", 30)


async def is_ready(gateway):
    return (await gateway.call("GET", "/ready"))[0] == 200
