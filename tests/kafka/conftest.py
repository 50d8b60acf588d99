"""One broker for all the tests here, topics of its own for each, and a PostgreSQL for what is stored."""

import asyncio
import contextlib
import dataclasses
import uuid

import pytest

from gateway.config import Kafka
from gateway.engines.kafka.kafka_transport import KafkaLogTransport
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.stores.deployments import DeploymentStore
from tests.engines.kafka import named_brokers, running_kafka
from tests.kafka.parts import KEY


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """Ours alone: it may be killed. Whoever does so starts it again."""
    with running_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def brokers(request):
    return named_brokers() or request.getfixturevalue("kafka").brokers


@pytest.fixture
def make_settings():
    """Settings with topics and a group that no other test has."""
    mark = uuid.uuid4().hex[:12]
    own = Kafka(topic=f"logs-{mark}", dead_letter_topic=f"dead-{mark}", group=f"group-{mark}", partitions=3)

    def make(brokers, **changes):
        return dataclasses.replace(own, brokers=[brokers], **changes)

    return make


@pytest.fixture
def settings(brokers, make_settings):
    return make_settings(brokers)


@pytest.fixture
async def open_transport():
    """Opens transports, each as another gateway would, and closes them after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def make(settings, *, known=(), log_bytes=10**6):
            async def install_key():
                return KEY

            async def is_known(deployment_id):
                return deployment_id in known

            transport = KafkaLogTransport(settings, log_bytes, install_key, is_known)
            stack.push_async_callback(transport.close)
            return transport

        yield make


@pytest.fixture
def transport(open_transport, settings):
    return open_transport(settings)


@pytest.fixture(scope="session")
def shared_url(postgres):
    return asyncio.run(postgres.create_database())


@pytest.fixture
async def database(shared_url):
    async with open_pool(shared_url, 5) as database:
        yield database


@pytest.fixture
def logs(database):
    return PostgresLogStore(database)


@pytest.fixture
def deployments(database):
    return DeploymentStore(database)
