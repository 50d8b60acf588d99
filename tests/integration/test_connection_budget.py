"""How many connections to PostgreSQL a gateway has at most: its pool, and one on which it listens."""

import asyncio
import contextlib

import asyncpg
import pytest

from scripts.git_server import commit_files, serve_git
from tests.engines.gateway import running_gateway
from tests.engines.pgbouncer import running_pgbouncer
from tests.engines.postgres import running_postgres

POOL = 5
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'buildspace'"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
async def database(postgres):
    return await postgres.create_empty_database()


def name_of(url):
    return url.split("?")[0].rpartition("/")[2]


@contextlib.asynccontextmanager
async def counting(postgres, database, query=COUNT):
    """The highest number of connections that was ever seen within the block, as a list of one."""
    highest, stopping = [0], asyncio.Event()
    connection = await asyncpg.connect(postgres.url)

    async def watch():
        while not stopping.is_set():
            highest[0] = max(highest[0], await connection.fetchval(query, name_of(database)))
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield highest
    finally:
        stopping.set()
        await watching
        await connection.close()


async def load(gateway, folder):
    """Builds, lists, logs and sites, far more at once than there are connections."""
    commit_files({"index.html": "hello"}, folder / "site.git")
    async with serve_git(folder) as git_url:
        answers = await asyncio.gather(*(gateway.deploy(f"{git_url}/site.git") for _ in range(4)))
        paths = ["/project", *(f"/logs/{answer['deploymentId']}" for answer in answers), "/project?limit=1"]
        slugs = [f"unknown-{number}" for number in range(100)]
        await asyncio.gather(
            *(gateway.call("GET", path) for path in paths * 30),
            *(gateway.fetch(slug) for slug in slugs),
            *(gateway.ended(answer["deploymentId"]) for answer in answers),
        )


async def test_a_gateway_under_load_has_its_pool_and_one_more(postgres, database, tmp_path):
    settings = {"DATABASE_URL": database, "BUILDSPACE_POSTGRES_POOL_SIZE": str(POOL)}
    async with counting(postgres, database) as highest, running_gateway(tmp_path, **settings) as gateway:
        await load(gateway, tmp_path / "git")
        assert (await gateway.call("GET", "/ready"))[0] == 200
    assert highest == [POOL + 1]


async def test_behind_a_pooler_it_has_its_pool_alone(postgres, database, tmp_path):
    with running_pgbouncer(postgres.url) as pooler:
        settings = {
            "DATABASE_URL": pooler.url_of(name_of(database)),
            "BUILDSPACE_POSTGRES_POOL_SIZE": str(POOL),
            "BUILDSPACE_POSTGRES_IS_POOLED": "true",
        }
        async with counting(postgres, database) as highest, running_gateway(tmp_path, **settings) as gateway:
            await load(gateway, tmp_path / "git")
            assert (await gateway.call("GET", "/ready"))[0] == 200
    assert 1 <= highest[0] <= POOL
