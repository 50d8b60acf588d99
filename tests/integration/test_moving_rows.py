"""`buildspace copy projects` and `copy logs`: every row arrives, and what must not be copied is refused."""

import asyncio
import dataclasses
import datetime
import functools

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.commands.copying.logs import copy_logs
from gateway.commands.copying.projects import copy_projects
from gateway.config import Clickhouse, Config, Postgres, Secret
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.errors import ConfigError, Conflict, Unavailable
from gateway.models.actor import OWNER
from gateway.models.log import LogPosition
from gateway.models.source import GitRef
from gateway.stores import tables
from gateway.stores.installation import InstallationStore
from gateway.stores.projects import ProjectStore
from tests.engines.clickhouse import running_clickhouse
from tests.engines.pgbouncer import running_pgbouncer
from tests.engines.stores import SOURCE, LifeStore, deploy_again, new_project


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server.settings


def at(url):
    return Config(postgres=Postgres(url=Secret(url)))


def pooled_at(url):
    return Config(postgres=Postgres(url=Secret(url), is_pooled=True))


def name_of(url):
    return url.split("?")[0].rpartition("/")[2]


@pytest.fixture
async def old(postgres):
    return await postgres.create_database()


@pytest.fixture
async def new(postgres):
    return await postgres.create_empty_database()


def silent(_):
    """Nobody listens."""


async def rows_of(url, table):
    async with open_pool(url, 2, application_name="test") as database:
        rows = await database.pool.fetch(f"SELECT to_jsonb(each) AS row FROM {table} AS each")
        return sorted(row["row"] for row in rows)


async def fill(url):
    """Two projects, with a live release, a running build, a key, a token and logs of two days."""
    async with open_pool(url, 4, application_name="test") as database:
        projects, deployments = ProjectStore(database), LifeStore(database)
        source = GitRef(SOURCE.url, "tab\tback\\slash\nümlaut")
        live = await new_project(projects, source=source, idempotency=("key", b"\0\xff"))
        await deployments.claim("process", 60)
        await deployments.publish(live.id, 1, 1, 1, 3)
        await new_project(projects, "Shop")
        building = await deploy_again(deployments, live.project_slug)
        await database.pool.execute(
            "INSERT INTO users (first_name, last_name, email, password) VALUES ('A','B','c','d')"
        )
        await database.pool.execute(
            "INSERT INTO mirrors (slug, deployment_id, place) VALUES ($1, $2, 'a bucket')",
            live.project_slug,
            live.id,
        )
        await InstallationStore(database).install_key()
        await InstallationStore(database).set_token_hash(b"hash")
        for day in (1, 2):
            logs = PostgresLogStore(database, functools.partial(in_march, day))
            lines = tuple(Line(1, "stdout", "build", f"{text}\0\\N\t") for text in ("a", "b"))
            await logs.append([LineBatch("blog", live.id, 1, 2 * day - 1, lines)])
        return live, building


async def in_march(day):
    return datetime.date(2026, 3, day)


async def test_every_table_moves_row_by_row(old, new):
    live, building = await fill(old)
    await copy_projects(at(old), at(new), silent)
    everything = (*tables.TABLES, "log_batches")
    assert [await rows_of(new, table) for table in everything] == [await rows_of(old, table) for table in everything]
    async with open_pool(new, 4) as database:
        assert (await ProjectStore(database).get(OWNER, live.project_slug)).live_deployment_id == live.id
        assert (await deploy_again(LifeStore(database), live.project_slug)).number == building.number + 1
        assert [line.seq for line in await PostgresLogStore(database).read(live.id, LogPosition(), 9)] == [1, 2, 3, 4]


async def test_no_table_is_forgotten(postgres):
    url = await postgres.create_database()
    async with open_pool(url, 2) as database:
        found = await database.pool.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            " AND NOT relispartition"
        )
    # What was applied to it is a fact of a server.
    assert {row["relname"] for row in found} == {*tables.TABLES, tables.LOG_TABLE, "migrations"}


async def test_a_target_that_has_projects_is_refused_and_stays_as_it_was(old, postgres):
    await fill(old)
    target = await postgres.create_database()
    await fill(target)
    before = await rows_of(target, "deployments")
    with pytest.raises(Conflict, match="not empty"):
        await copy_projects(at(old), at(target), silent)
    assert await rows_of(target, "deployments") == before


@pytest.mark.parametrize("which", ["old", "new"])
async def test_a_database_that_a_gateway_uses_is_refused(old, new, which, request):
    await fill(old)
    async with open_pool({"old": old, "new": new}[which], 2) as database, database.acquire() as connection:
        await connection.execute("SELECT 1")
        with pytest.raises(Conflict, match=f"A gateway is using the {which} database.* Stop it first"):
            await copy_projects(at(old), at(new), silent)
    assert await rows_of(new, "projects") == []


async def test_a_copy_that_fails_half_way_leaves_nothing(old, new, monkeypatch):
    await fill(old)
    real = tables.copy_table

    async def fail_at_keys(source, target, table, left_out=()):
        if table == "idempotency_keys":
            raise Unavailable("The connection was lost.")
        return await real(source, target, table, left_out)

    monkeypatch.setattr(tables, "copy_table", fail_at_keys)
    with pytest.raises(Unavailable):
        await copy_projects(at(old), at(new), silent)
    assert await rows_of(new, "projects") == []


async def test_an_old_database_of_another_version_is_refused(old, new):
    async with open_pool(old, 2, application_name="test") as database:
        await database.pool.execute("DELETE FROM migrations WHERE name LIKE '0011%'")
    with pytest.raises(Conflict, match=r"another schema version.*buildspace migrate"):
        await copy_projects(at(old), at(new), silent)


@pytest.mark.parametrize("command", [copy_projects, copy_logs])
async def test_one_database_cannot_be_copied_onto_itself(old, command):
    with pytest.raises(ConfigError):
        await command(at(old), at(old), silent)


async def test_logs_are_not_copied_before_the_projects_that_they_are_of(old, new, clickhouse):
    await fill(old)
    in_clickhouse = Config(postgres=Postgres(url=Secret(new)), clickhouse=clickhouse)
    with pytest.raises(ConfigError, match="Run `buildspace copy projects` first"):
        await copy_logs(at(old), in_clickhouse, silent)


async def test_logs_of_nobody_whom_the_new_database_knows_are_told(old, postgres, clickhouse):
    said = []
    await fill(old)
    another = await postgres.create_database()
    async with open_pool(another, 2) as database:
        await new_project(ProjectStore(database))
    await copy_logs(at(old), dataclasses.replace(at(another), clickhouse=clickhouse), said.append)
    assert said[0].startswith("0 logs copied")
    assert said[1].endswith("Copy the projects first.")


async def test_how_many_logs_the_old_store_lacks_is_told(old, postgres, clickhouse):
    said = []
    live, _ = await fill(old)
    async with open_pool(old, 2) as database:
        other = await new_project(ProjectStore(database), "Other")
        await database.pool.execute("UPDATE deployments SET last_seq = 7 WHERE id = ANY($1)", [live.id, other.id])
    await copy_logs(at(old), dataclasses.replace(at(old), clickhouse=clickhouse), said.append)
    assert said[-1].startswith("Of 1 logs the old store has no line")


async def test_each_table_is_told_once_it_is_copied(old, new):
    said = []
    await fill(old)
    await copy_projects(at(old), at(new), said.append)
    assert said[1:3] == ["users: 1 rows", "projects: 2 rows"]
    days = ["log_batches of 2026-03-01: 1 rows", "log_batches of 2026-03-02: 1 rows"]
    assert said[-4:-1] == [*days, "log_batches: 2 rows"]


async def test_one_clickhouse_cannot_be_copied_onto_itself_however_it_is_written():
    by_name = Config(clickhouse=Clickhouse(host="logs.example.com"))
    by_url = Config(clickhouse=Clickhouse(host="http://logs.example.com:8123"))
    with pytest.raises(ConfigError, match="same log store"):
        await copy_logs(by_name, by_url, silent)


async def test_logs_move_into_clickhouse_and_out_again(old, new, clickhouse):
    live, _ = await fill(old)
    await copy_projects(at(old), at(new), silent)
    between = dataclasses.replace(at(new), clickhouse=clickhouse)
    await copy_logs(at(old), between, silent)
    async with open_pool(new, 2, application_name="test") as database:
        await database.pool.execute("DELETE FROM log_batches")
        await copy_logs(between, at(new), silent)
        lines = await PostgresLogStore(database).read(live.id, LogPosition(), 9)
    assert [line.seq for line in lines] == [1, 2, 3, 4]
    assert [line.text for line in lines] == ["a\0\\N\t", "b\0\\N\t"] * 2


async def test_projects_and_logs_move_through_a_pooler(old, new, postgres):
    await fill(old)
    with running_pgbouncer(postgres.url) as pooler:
        pooled = [pooled_at(pooler.url_of(name_of(url))) for url in (old, new)]
        await copy_projects(*pooled, silent)
    for table in ("projects", "deployments", "log_batches"):
        assert await rows_of(new, table) == await rows_of(old, table)


async def test_a_gateway_is_seen_through_a_pooler_and_one_that_is_gone_does_not_count(old, new, postgres, monkeypatch):
    await fill(old)
    with running_pgbouncer(postgres.url) as pooler:
        pooled = [pooled_at(pooler.url_of(name_of(url))) for url in (old, new)]
        async with open_pool(pooled[0].postgres.url.reveal(), 4, is_pooled=True) as gateway:
            await asyncio.gather(*(gateway.pool.execute("SELECT pg_sleep(0.2)") for _ in range(4)))
        # It is gone, and pgbouncer keeps its connection to the server.
        with pytest.raises(Conflict, match="A gateway is using the old database, or was a moment ago"):
            await copy_projects(*pooled, silent)
        monkeypatch.setattr(tables, "IDLE_SECONDS", 0.0)
        await copy_projects(*pooled, silent)
    assert await rows_of(new, "projects") == await rows_of(old, "projects")
