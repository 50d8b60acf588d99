"""`python -m builder` whose job names Kafka."""

import asyncio

import pytest

from builder.protocol.calls import KafkaTarget
from builder.protocol.lines import decode_batch
from builder.protocol.tokens import SIGNATURE_HEADER, is_signature
from tests.engines.builder_process import run_builder, started_builder
from tests.engines.builders_api import TOKEN, builders_server, make_job
from tests.engines.git_server import git_server
from tests.kafka.parts import read_topic


@pytest.fixture
async def git_url(tmp_path):
    async with git_server(tmp_path / "git") as server:
        yield server.create("site", {"index.html": "<p>it works</p>"})


async def test_lines_go_to_the_topic_signed_and_the_calls_to_the_gateway(transport, settings, git_url, tmp_path):
    await transport._cluster.make_topics()
    async with builders_server(make_job(git_url, kafka=transport.for_builders)) as server:
        code, errors = await run_builder(server, tmp_path / "work")
    assert (code, server.finish.exit, server.batches) == (0, "ok", {}), errors
    records = await read_topic(settings, settings.topic)
    batches = [decode_batch(record.value) for record in records]
    assert {record.key for record in records} == {str(server.deployment_id).encode()}
    assert all(is_signature(dict(record.headers)[SIGNATURE_HEADER], TOKEN, record.value) for record in records)
    assert sum(len(batch.lines) for batch in batches) == server.finish.last_seq


@pytest.fixture
def nowhere():
    return KafkaTarget(("127.0.0.1:1",), "container-logs")


async def test_a_build_ends_well_while_kafka_is_away(git_url, tmp_path, nowhere):
    async with (
        builders_server(make_job(git_url, kafka=nowhere)) as server,
        started_builder(server, tmp_path / "work") as builder,
    ):
        await asyncio.wait_for(server.finished.wait(), 60)
        assert server.finish.exit == "ok"
        assert server.finish.last_seq > 0
        assert builder.returncode is None  # it still brings its lines
        builder.terminate()
        assert await asyncio.wait_for(builder.wait(), 20) == 3


async def test_a_cancel_ends_a_builder_while_kafka_is_away(git_url, tmp_path, nowhere):
    async with (
        builders_server(make_job(git_url, kafka=nowhere)) as server,
        started_builder(server, tmp_path / "work") as builder,
    ):
        await asyncio.wait_for(server.heard.wait(), 60)
        server.ended = True
        assert await asyncio.wait_for(builder.wait(), 60) == 3
        assert server.finish is None
