"""The migrations: each once, in order, under a lock, and never edited."""

import asyncio
import itertools
import shutil

import pytest

from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_migrations import migrate, missing_migrations, read_migrations
from gateway.errors import ConfigError, Unavailable
from tests.engines.postgres import MIGRATIONS


@pytest.fixture
async def empty(postgres):
    async with open_pool(await postgres.create_empty_database(), 6) as database:
        yield database


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id integer);")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (id integer); CREATE TABLE three (id integer);")
    return tmp_path


async def tables(database):
    rows = await database.pool.fetch("SELECT relname FROM pg_class WHERE relname IN ('one', 'two', 'three', 'four')")
    return {row["relname"] for row in rows}


async def test_each_file_is_applied_once(empty, folder):
    assert await migrate(empty, folder) == ["0001_one.sql", "0002_two.sql"]
    assert await migrate(empty, folder) == []
    assert await tables(empty) == {"one", "two", "three"}


async def test_of_many_gateways_one_applies_each_file(empty, folder):
    applied = await asyncio.gather(*(migrate(empty, folder) for _ in range(5)))
    assert sorted(itertools.chain(*applied)) == ["0001_one.sql", "0002_two.sql"]


async def test_an_edited_file_is_refused(empty, folder):
    await migrate(empty, folder)
    (folder / "0001_one.sql").write_text("CREATE TABLE four (id integer);")
    with pytest.raises(ConfigError, match=r"0001_one\.sql was edited"):
        await migrate(empty, folder)
    assert "four" not in await tables(empty)


async def test_a_file_that_fails_half_way_leaves_nothing_and_can_be_corrected(empty, folder):
    (folder / "0003_three.sql").write_text("CREATE TABLE four (id integer); SELECT 1 / 0;")
    with pytest.raises(ConfigError, match=r"0003_three\.sql failed: division by zero"):
        await migrate(empty, folder)
    assert await tables(empty) == {"one", "two", "three"}
    (folder / "0003_three.sql").write_text("CREATE TABLE four (id integer);")
    assert await migrate(empty, folder) == ["0003_three.sql"]


async def test_a_database_of_a_newer_version_is_refused_and_let_be(empty, folder):
    await migrate(empty, folder)
    (folder / "0002_two.sql").unlink()
    (folder / "0001_one.sql").rename(folder / "0003_three.sql")
    with pytest.raises(ConfigError, match=r"newer version of Buildspace: it has the migration 0002_two\.sql"):
        await migrate(empty, folder)
    assert await tables(empty) == {"one", "two", "three"}
    with pytest.raises(ConfigError, match="newer version"):
        await missing_migrations(empty, folder)


def test_a_folder_without_migrations_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="installation"):
        read_migrations(tmp_path)
    with pytest.raises(ConfigError, match="installation"):
        read_migrations(tmp_path / "nothing")


async def test_the_migrations_of_buildspace_apply_and_are_in_order(empty, tmp_path):
    copy = shutil.copytree(MIGRATIONS, tmp_path / "copy")
    names = await migrate(empty, copy)
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]


async def test_a_database_that_is_away_is_unavailable(folder, tmp_path):
    async with open_pool(f"postgresql://nobody@/x?host={tmp_path}", 2) as database:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await migrate(database, folder)


async def test_a_database_that_is_not_in_utf8_is_refused_and_told_how_it_is_made(postgres, empty, folder):
    await empty.pool.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    async with open_pool(postgres.url_of("latin"), 2) as latin:
        with pytest.raises(ConfigError, match=r"keeps text in LATIN1.*ENCODING 'UTF8'"):
            await migrate(latin, folder)


def test_our_migrations_are_numbered_from_one_without_a_gap():
    numbers = [int(path.name[:4]) for path in sorted(MIGRATIONS.glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))
