"""A PostgreSQL for all the tests here, an empty database for each, and the stores on it."""

import asyncio
import os
import uuid

import pytest

from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.clickhouse.clickhouse_migrations import migrate_clickhouse
from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.stores.hosts import HostStore
from gateway.stores.installation import InstallationStore
from gateway.stores.projects import ProjectStore
from tests.engines.clickhouse import in_database, reachable_clickhouse, running_clickhouse
from tests.engines.pgbouncer import running_pgbouncer
from tests.engines.postgres import MIGRATIONS
from tests.engines.stores import LifeStore, new_project


@pytest.fixture(scope="session")
def shared_url(postgres):
    return asyncio.run(postgres.create_database())


@pytest.fixture(scope="session")
def pooled_url(postgres, shared_url):
    """The same database behind pgbouncer in transaction mode; or what TEST_PGBOUNCER_URL names."""
    if named := os.environ.get("TEST_PGBOUNCER_URL"):
        asyncio.run(migrate_pooled(named))
        yield named
        return
    with running_pgbouncer(postgres.url) as pooler:
        yield pooler.url_of(shared_url.split("?")[0].rpartition("/")[2])


async def migrate_pooled(url):
    async with open_pool(url, 2, is_pooled=True) as database:
        await migrate(database, MIGRATIONS)


def pytest_generate_tests(metafunc):
    """What uses `database` is true without a pooler and behind one, but for what is marked `direct`."""
    if "way" in metafunc.fixturenames and not metafunc.definition.get_closest_marker("direct"):
        metafunc.parametrize("way", ["direct", "pooler"], indirect=True)


@pytest.fixture
def way(request):
    """How the stores reach PostgreSQL."""
    return getattr(request, "param", "direct")


@pytest.fixture
def url(way, request):
    return request.getfixturevalue("shared_url" if way == "direct" else "pooled_url")


@pytest.fixture
async def database(url, way):
    """Empty. One for all tests, emptied before each: six times quicker than a new one."""
    async with open_pool(url, 10, is_pooled=way == "pooler") as database:
        await database.pool.execute(
            "TRUNCATE users, projects, deployments, hosts, installation, idempotency_keys, mirrors, sweeps CASCADE"
        )
        await database.pool.execute("SELECT drop_log_partitions('9999-01-01')")
        yield database


@pytest.fixture
async def pooled_database(pooled_url):
    """As `database`, behind a pooler in any case."""
    async with open_pool(pooled_url, 10, is_pooled=True) as database:
        await database.pool.execute("SELECT drop_log_partitions('9999-01-01')")
        yield database


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory):
    """Settings that reach a server for all the tests that leave it alone."""
    with reachable_clickhouse(tmp_path_factory.mktemp("clickhouse")) as settings:
        yield settings


@pytest.fixture(scope="module")
def clickhouse_server(tmp_path_factory):
    """A server that a test may log in to, and take away."""
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
async def clickhouse_pool(clickhouse):
    """Of a database that nobody else uses. It does not exist yet, and is gone afterwards."""
    async with open_clickhouse(in_database(clickhouse, f"test_{uuid.uuid4().hex}")) as pool:
        yield pool
        await pool.create_database()
        await pool.fetch(f"DROP DATABASE {pool.settings.database}")


@pytest.fixture
def prepare_clickhouse(clickhouse_pool, request):
    """What a log store calls to make its tables."""
    database = request.getfixturevalue("database")
    return lambda: migrate_clickhouse(clickhouse_pool, database, clickhouse_migrations_folder())


@pytest.fixture
def projects(database):
    return ProjectStore(database)


@pytest.fixture
def hosts(database):
    return HostStore(database)


@pytest.fixture
def deployments(database):
    return LifeStore(database)


@pytest.fixture
def installation(database):
    return InstallationStore(database)


@pytest.fixture
async def queued(projects):
    """The first deployment of a new project."""
    return await new_project(projects)


@pytest.fixture
async def building(queued, deployments):
    """The same, claimed by a launcher."""
    (claimed,) = await deployments.claim("process", 60)
    return claimed
